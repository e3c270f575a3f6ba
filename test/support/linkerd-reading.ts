import { KubeConfig, type V1Secret, type V1Service } from '@kubernetes/client-node';
import type { KubeObject } from '../../src/api/kubernetes/resource.ts';

/**
 * How Linkerd reads what we write, by its own rules and words (linkerd2 edge-26.8.3:
 * `multicluster/cmd/link-gen.go`, `pkg/multicluster`, `controller/api/destination/watcher/cluster_store.go`,
 * `multicluster/cmd/check.go`). It shares no code with ours: what it takes, Linkerd takes.
 */

/** What `linkerd multicluster link-gen` takes from a gateway Service. @throws Error with its words */
export function linkGenReads(
  gateway: V1Service,
  gatewayAddresses = '',
): {
  address: string;
  port: number;
  identity: string;
  probe: { path: string; port: number; period: string };
} {
  const { name = '', namespace = '', annotations = {} } = gateway.metadata ?? {};
  const ingress = (gateway.status?.loadBalancer?.ingress ?? []).map(
    ({ ip, hostname }) => ip || hostname || '',
  );
  const address = gatewayAddresses || ingress.filter((item) => item !== '').join(',');
  if (address === '') throw new Error(`gateway ${name}.${namespace} has no ingress addresses`);
  const identity = annotations['mirror.linkerd.io/gateway-identity'] ?? '';
  if (identity === '')
    throw new Error(`gateway ${name}.${namespace} has no mirror.linkerd.io/gateway-identity annotation`);
  const path = annotations['mirror.linkerd.io/probe-path'] ?? '';
  if (path === '') throw new Error('probe path is empty');
  const portOf = (wanted: string) => {
    const port = gateway.spec?.ports?.find((candidate) => candidate.name === wanted);
    if (port === undefined) throw new Error(`could not find port with name ${wanted}`);
    return gateway.spec?.type === 'NodePort' ? (port.nodePort ?? 0) : port.port;
  };
  const said = annotations['mirror.linkerd.io/probe-period'] ?? '';
  const period = /^[+-]?\d+$/.test(said) ? `${Number(said)}s` : said;
  goDuration(period);
  return { address, port: portOf('mc-gateway'), identity, probe: { path, port: portOf('mc-probe'), period } };
}

/** Go's `time.ParseDuration`. @throws Error */
function goDuration(text: string): void {
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*$/.test(text))
    throw new Error(`time: invalid duration "${text}"`);
}

/**
 * What Linkerd's controller and CLI take from a Link as the API server returns it: texts where they want
 * texts, and numbers within them.
 * @throws Error with their words
 */
export function controllerReads(link: KubeObject): void {
  const { spec } = link as { spec?: Record<string, unknown> };
  if (spec === undefined) throw new Error("Field 'spec' is missing");
  const text = (of: Record<string, unknown>, key: string): string => {
    if (!(key in of)) throw new Error(`Field '${key}' is missing`);
    const value = of[key];
    if (typeof value !== 'string') throw new Error(`Field '${key}' is not a string`);
    return value;
  };
  const number = (value: string) => {
    if (!/^\d+$/.test(value) || Number(value) > 65_535) throw new Error(`parsing "${value}": invalid syntax`);
  };
  const probe = spec['probeSpec'] as Record<string, unknown> | undefined;
  if (probe === undefined) throw new Error("Field 'probeSpec' is missing");
  for (const key of ['period', 'timeout']) goDuration(text(probe, key));
  for (const key of ['failureThreshold', 'port']) number(text(probe, key));
  text(probe, 'path');
  const names = ['targetClusterName', 'targetClusterDomain', 'targetClusterLinkerdNamespace'];
  for (const key of [...names, 'clusterCredentialsSecret', 'gatewayAddress', 'gatewayIdentity'])
    text(spec, key);
  number(text(spec, 'gatewayPort'));
  // Both look a Link up by the name of its cluster.
  if (link.metadata?.name !== spec['targetClusterName']) throw new Error('Link not found');
  // It splits at commas and trims nothing.
  if (/\s/.test(text(spec, 'gatewayAddress'))) throw new Error('no such host');
}

/**
 * What the mirror controller takes from its Secret: client-go's reading of the kubeconfig, here by
 * client-node.
 * @throws Error
 */
export function controllerCredentials(secret: V1Secret): { server: string; token: string; ca: string } {
  const encoded = secret.data?.['kubeconfig'];
  if (encoded === undefined)
    throw new Error("secret should contain target cluster name as annotation 'kubeconfig'");
  const config = new KubeConfig();
  config.loadFromString(Buffer.from(encoded, 'base64').toString('utf8'));
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (cluster === null || user === null)
    throw new Error('invalid configuration: no configuration has been provided');
  if (cluster.caFile !== undefined) throw new Error(`open ${cluster.caFile}: no such file or directory`);
  return { server: cluster.server, token: user.token ?? '', ca: cluster.caData ?? '' };
}

/**
 * The cluster that Linkerd's destination controller adds for a Secret of its namespace.
 * @throws Error with its words when it passes it over
 */
export function destinationAdds(secret: V1Secret): {
  cluster: string;
  trustDomain: string;
  clusterDomain: string;
} {
  if (secret.type !== 'mirror.linkerd.io/remote-kubeconfig')
    throw new Error(`Skipping Add event for 'Secret' object: invalid type ${secret.type ?? ''}`);
  const { labels = {}, annotations = {} } = secret.metadata ?? {};
  const cluster = labels['multicluster.linkerd.io/cluster-name'];
  if (cluster === undefined) throw new Error('missing "multicluster.linkerd.io/cluster-name" label');
  controllerCredentials(secret);
  const annotation = (key: string) => {
    const value = annotations[`multicluster.linkerd.io/${key}`];
    if (value === undefined) throw new Error(`missing "multicluster.linkerd.io/${key}" annotation`);
    return value;
  };
  return { cluster, clusterDomain: annotation('cluster-domain'), trustDomain: annotation('trust-domain') };
}
