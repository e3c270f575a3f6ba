import type { V1CertificateSigningRequest } from '@kubernetes/client-node';
import { LEAF_USAGES, SIGNER_NAME } from '../../api/names.ts';
import { sleep, type Clock } from '../../base/clock.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { isForbidden, type KubeClient } from '../../kube/client/kube-client.ts';
import { follow } from '../../kube/informer/follow.ts';
import { certificateSigningRequests, type KubeObject, type Resource } from '../../api/kubernetes/resource.ts';
import type { Logger } from '../../telemetry/log.ts';
import { identityName, serviceAccountOf } from '../names/identity-name.ts';
import { pem } from '../x509/keys.ts';
import type { IssuedLeaf, LeafIssuer, LeafRequest } from './requested-identity.ts';

export interface CsrIssuerOptions {
  /**
   * Client of the cluster that has the signer, with the credentials of the service account whose identity is
   * asked for. Closed with the issuer.
   */
  readonly client: KubeClient;
  readonly controlNamespace: string;
  readonly trustDomain: string;
  /** Life to ask for, milliseconds; the signer may give less. */
  readonly lifetimeMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long to wait for a signer, milliseconds; default 60 s. */
  readonly timeoutMs?: number;
}

interface SelfSubjectReview extends KubeObject {
  status?: { userInfo?: { username?: string } };
}
const selfSubjectReviews: Resource<SelfSubjectReview> = {
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'SelfSubjectReview',
  plural: 'selfsubjectreviews',
  namespaced: false,
};

const RETRY_MS = 1000;

/**
 * Gets leaves from `linkspan signer` of this cluster, by CertificateSigningRequest (signer
 * `linkspan.dev/workload`).
 */
export function csrIssuer(options: CsrIssuerOptions): LeafIssuer {
  return new CsrIssuer(options);
}

class CsrIssuer implements LeafIssuer {
  readonly where = `signer ${SIGNER_NAME}`;
  readonly #options: CsrIssuerOptions;
  #name: string | undefined;
  /**
   * Name of our last request if it got no certificate; it is kept until the next one, for people to look at.
   */
  #failed: string | undefined;
  #mayNotDelete = false;

  constructor(options: CsrIssuerOptions) {
    this.#options = options;
  }

  /** The identity of our own service account, by a SelfSubjectReview: the signer signs no other. */
  async name(signal: AbortSignal): Promise<string> {
    const { client, controlNamespace, trustDomain } = this.#options;
    if (this.#name !== undefined) return this.#name;
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const { status } = await client.create(selfSubjectReviews, review, { signal });
    const username = status?.userInfo?.username ?? '';
    const account = serviceAccountOf(username);
    if (account === undefined) {
      throw new LinkspanError('IDENTITY_INVALID', `"${username}" at ${client.server} is no service account`, {
        hint: 'Run in a pod with a service account, or give a --kubeconfig that holds the token of one.',
      });
    }
    return (this.#name = identityName({ ...account, controlNamespace, trustDomain }));
  }

  async issue({ name, der }: LeafRequest, signal: AbortSignal): Promise<IssuedLeaf> {
    const { client, lifetimeMs } = this.#options;
    if (this.#failed !== undefined) await this.#delete(this.#failed, signal);
    this.#failed = undefined;
    const made = await client.create(
      certificateSigningRequests,
      {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: { generateName: `linkspan-${name.slice(0, name.indexOf('.')).slice(0, 40)}-` },
        spec: {
          signerName: SIGNER_NAME,
          request: Buffer.from(pem('CERTIFICATE REQUEST', der)).toString('base64'),
          expirationSeconds: Math.max(600, Math.round(lifetimeMs / 1000)),
          usages: [...LEAF_USAGES],
        },
      },
      { signal },
    );
    const request = made.metadata?.name ?? '';
    this.#failed = request;
    const cert = await this.#answer(request, signal);
    this.#failed = undefined;
    await this.#delete(request, signal);
    return { cert };
  }

  close(): Promise<void> {
    return this.#options.client.close();
  }

  /** @throws LinkspanError IDENTITY_REQUEST_DENIED, IDENTITY_REQUEST_UNANSWERED */
  async #answer(name: string, signal: AbortSignal): Promise<string> {
    const { clock, timeoutMs = 60_000 } = this.#options;
    const late = new AbortController();
    const timer = clock.after(timeoutMs, () =>
      late.abort(
        new LinkspanError(
          'IDENTITY_REQUEST_UNANSWERED',
          `CertificateSigningRequest ${name}: no certificate within ${timeoutMs / 1000} s`,
        ),
      ),
    );
    try {
      return await this.#watch(name, AbortSignal.any([signal, late.signal]));
    } finally {
      timer.cancel();
    }
  }

  async #watch(name: string, signal: AbortSignal): Promise<string> {
    const { client, clock, log } = this.#options;
    for (;;) {
      try {
        const options = { client, resource: certificateSigningRequests, ref: { name }, clock, signal };
        for await (const seen of follow(options)) {
          const cert = certificateIn(seen, name);
          if (cert !== undefined) return cert;
        }
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof LinkspanError && error.code.startsWith('IDENTITY_')) throw error;
        log.debug({ err: error, request: name }, 'watching the request failed, trying again');
        await sleep(clock, RETRY_MS, signal);
      }
    }
  }

  /**
   * Best effort, and not asked for again by an account that may not: the cluster deletes old requests by
   * itself after an hour (kube-controller-manager, csrcleaner).
   */
  async #delete(name: string, signal: AbortSignal): Promise<void> {
    const { client, log } = this.#options;
    if (this.#mayNotDelete) return;
    try {
      await client.delete(certificateSigningRequests, { name }, { signal });
    } catch (error) {
      signal.throwIfAborted();
      this.#mayNotDelete = isForbidden(error);
      log.debug({ err: error, request: name }, 'request not deleted');
    }
  }
}

/** The certificate, or undefined while there is none yet. @throws LinkspanError when there will be none */
function certificateIn(seen: V1CertificateSigningRequest | undefined, name: string): string | undefined {
  if (seen === undefined) {
    const text = `CertificateSigningRequest ${name}: somebody deleted it`;
    throw new LinkspanError('IDENTITY_REQUEST_UNANSWERED', text);
  }
  const refused = seen.status?.conditions?.find(({ type }) => type === 'Denied' || type === 'Failed');
  if (refused !== undefined) {
    const { reason = refused.type, message = 'no message' } = refused;
    throw new LinkspanError(
      'IDENTITY_REQUEST_DENIED',
      `CertificateSigningRequest ${name}: ${reason}: ${message}`,
      { fields: { reason } },
    );
  }
  const { certificate } = seen.status ?? {};
  return certificate === undefined || certificate === ''
    ? undefined
    : Buffer.from(certificate, 'base64').toString('utf8');
}
