import { isIPv4, isIPv6 } from 'node:net';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { withoutEnd } from '../base/text.ts';

/** Host names that mean the machine itself, with Docker's names for it. */
const THIS_MACHINE = new Set(['localhost', 'kubernetes.docker.internal', 'host.docker.internal']);

/**
 * Why pods of another cluster cannot reach an API server at this URL; undefined where nothing speaks against
 * it.
 */
export function unreachableFromPods(server: string): string | undefined {
  const host = (URL.parse(server)?.hostname ?? '').replace(/^\[|\]$/g, '').toLowerCase();
  if (isLoopback(host) || THIS_MACHINE.has(host) || host.endsWith('.localhost'))
    return 'which means the machine that uses it';
  if (/^kubernetes(\.default(\.svc(\..*)?)?)?$/.test(host) || host.endsWith('.svc') || host.includes('.svc.'))
    return 'a name that only its own cluster knows';
  return undefined;
}

function isLoopback(host: string): boolean {
  if (isIPv4(host)) return host.startsWith('127.') || host === '0.0.0.0';
  if (!isIPv6(host)) return false;
  // The URL parser gives IPv6 addresses in their shortest form; IPv4-mapped 127.0.0.0/8 is ::ffff:7fxx:xxxx.
  return host === '::1' || host === '::' || /^::ffff:7f[0-9a-f]{2}:/.test(host);
}

/**
 * The URL by which the source cluster's pods reach the target's API server: the one that the user gave, else
 * the kubeconfig's.
 * @param inCluster whether the kubeconfig is a pod's own account, whose address is a ClusterIP
 * @throws LinkspanError API_SERVER_ADDRESS_LOCAL where the kubeconfig's cannot be reached from pods
 */
export function apiServerAddress(
  said: string | undefined,
  access: { readonly server: string; readonly inCluster: boolean },
): string {
  if (said !== undefined) return withoutEnd(said, '/');
  const why = access.inCluster ? 'an address inside its own cluster' : unreachableFromPods(access.server);
  if (why === undefined) return access.server;
  throw new LinkspanError(
    'API_SERVER_ADDRESS_LOCAL',
    `the kubeconfig reaches the target's API server at ${access.server}, ${why}: pods of the source cluster cannot`,
  );
}
