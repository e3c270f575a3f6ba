import { readFile } from 'node:fs/promises';
import { formatAddress, type SocketAddress } from '../../base/address.ts';
import type { Clock } from '../../base/clock.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { ProtobufError } from '../../base/protobuf.ts';
import { CERTIFY_PATH, decodeCertifyResponse, encodeCertifyRequest } from './certify-messages.ts';
import { callUnary } from './grpc-unary.ts';
import { identityName, serviceAccountOf } from '../names/identity-name.ts';
import { pem } from '../x509/keys.ts';
import type { IssuedLeaf, LeafIssuer, LeafRequest } from './requested-identity.ts';

/** Linkerd's identity service as its chart installs it. */
export const DEFAULT_IDENTITY_SERVICE = 'linkerd-identity-headless.linkerd.svc.cluster.local:8080';
/** Where Linkerd's injector mounts the projected token (audience `identity.l5d.io`). */
export const DEFAULT_IDENTITY_TOKEN = '/var/run/secrets/tokens/linkerd-identity-token';

export interface LinkerdIssuerOptions {
  readonly address: SocketAddress;
  /**
   * Identity that the service must prove; not checked at a loopback address, which is contacted without TLS,
   * as Linkerd's proxy does.
   */
  readonly serverIdentity: string;
  /** Read anew for each request: kubelet renews it. */
  readonly tokenFile: string;
  /** Own identity; default that of the token's service account. */
  readonly name?: string;
  readonly controlNamespace: string;
  readonly trustDomain: string;
  readonly clock: Clock;
  /** For one call, milliseconds; default 10 s. */
  readonly timeoutMs?: number;
}

/** Linkerd's identity service (`Identity.Certify`). */
export function linkerdIssuer(options: LinkerdIssuerOptions): LeafIssuer {
  const where = `identity service ${formatAddress(options.address)}`;
  return {
    where,
    name: async () => options.name ?? nameIn(await readToken(options.tokenFile), options),
    issue: (request, signal) => certify(options, request, where, signal),
    close: () => Promise.resolve(),
  };
}

async function certify(
  options: LinkerdIssuerOptions,
  { name, der, anchors }: LeafRequest,
  where: string,
  signal: AbortSignal,
): Promise<IssuedLeaf> {
  const { address, serverIdentity, clock, timeoutMs } = options;
  const token = Buffer.from(await readToken(options.tokenFile), 'utf8');
  const answer = await callUnary({
    address,
    server: isLoopback(address.host) ? undefined : { identity: serverIdentity, anchors },
    path: CERTIFY_PATH,
    message: encodeCertifyRequest({ identity: name, token, csr: der }),
    clock,
    signal,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
  try {
    const { leaf, intermediates, validUntil } = decodeCertifyResponse(answer);
    const cert = [leaf, ...intermediates].map((certificate) => pem('CERTIFICATE', certificate)).join('');
    return validUntil === undefined ? { cert } : { cert, validUntil };
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    throw new LinkspanError('IDENTITY_SERVICE_GARBLED', `${where}: ${error.message}`, { cause: error });
  }
}

/** Whether a host is a loopback address, which needs no TLS by Linkerd's rule. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

async function readToken(file: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw new LinkspanError('IDENTITY_MISSING', `the token ${file}: ${messageOf(cause)}`, { cause });
  }
  if (text === '') throw new LinkspanError('IDENTITY_MISSING', `the token ${file} is empty`);
  return text;
}

/**
 * The identity of the service account that a token names; the token is verified by the identity service, not
 * here.
 */
function nameIn(token: string, { tokenFile, controlNamespace, trustDomain }: LinkerdIssuerOptions): string {
  let subject: unknown;
  try {
    const claims = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
    subject = (JSON.parse(claims) as { sub?: unknown }).sub;
  } catch {
    // Not a JWT; the error is thrown below.
  }
  const account = serviceAccountOf(typeof subject === 'string' ? subject : '');
  if (account !== undefined) return identityName({ ...account, controlNamespace, trustDomain });
  throw new LinkspanError('IDENTITY_INVALID', `the token ${tokenFile} is not of a service account`, {
    hint: 'Mount a projected service account token there, or give --identity-name.',
  });
}
