import { backoffDelay, type Random } from '../../base/backoff.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { isOverLimit } from './answer-limits.ts';
import { KubeApiError } from './api-error.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

const TIMEOUTS = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT']);
/** Errors that say that the request never reached the server, so that even a POST may be sent again. */
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** OpenSSL's words for a chain that ends at nobody who is trusted. */
const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
const UNTRUSTED_WHY = 'no certificate authority of the kubeconfig has issued it';
const UNTRUSTED_HINT =
  "Put the authority that has issued the server's certificate into the kubeconfig (certificate-authority-data); behind a proxy such as Rancher's it is the proxy's.";

/** A connection that could not be made, or broke. */
export function connectionError(error: unknown, what: string): LinkspanError {
  const code = (error as { code?: string }).code ?? '';
  const kind = TIMEOUTS.has(code) ? 'KUBE_TIMEOUT' : 'KUBE_UNREACHABLE';
  const untrusted = UNTRUSTED.has(code);
  const why = untrusted ? `${messageOf(error)} (${UNTRUSTED_WHY})` : messageOf(error);
  const hint = untrusted ? { hint: UNTRUSTED_HINT } : {};
  return new LinkspanError(kind, `${what}: ${why}`, { cause: error, fields: { errno: code }, ...hint });
}

/** Requests that do no harm when they were carried out already. */
const REPEATABLE: ReadonlySet<Method> = new Set(['GET', 'PUT', 'DELETE']);

/** Milliseconds until the next try of a request, or undefined when there should be none. */
export function retryDelay(
  request: { readonly method: Method },
  error: unknown,
  attempt: number,
  random: Random,
): number | undefined {
  const delay = backoffDelay(attempt, { minMs: 100, maxMs: 3000 }, random);
  if (error instanceof KubeApiError) {
    // The server says that it did nothing, whatever the method.
    if (error.status === 429) return Math.min(error.retryAfterMs ?? delay, 10_000);
    if (error.status < 500 || request.method === 'POST') return undefined;
    return error.retryAfterMs ?? delay;
  }
  if (!(error instanceof LinkspanError) || isOverLimit(error)) return undefined;
  const neverSent = NEVER_SENT.has(String(error.fields['errno']));
  return neverSent || REPEATABLE.has(request.method) ? delay : undefined;
}
