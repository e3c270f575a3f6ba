import {
  GATEWAY_ANNOTATIONS,
  gatewayAnnotation,
  gatewayPort,
  GATEWAY_PORTS,
  probePeriod,
} from '../api/gateway/gateway-service.ts';
import { ACCOUNT_TOKEN_SELECTOR, accountOfToken, tokenIn } from '../api/credentials/account-token.ts';
import type { V1Secret, V1Service, V1ServiceAccount } from '@kubernetes/client-node';
import { z } from 'zod';
import { LinkspanError, messageOf } from '../api/errors/linkspan-error.ts';
import { DEFAULT_CLUSTER_DOMAIN } from '../api/names.ts';
import { FEW_VALUES } from '../base/config.ts';
import { parseYaml } from '../base/yaml.ts';
import { isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { configMaps, secrets, serviceAccounts, services } from '../api/kubernetes/resource.ts';
import { clusterUid } from './cluster-uid.ts';
import type { TargetGatewayFacts, NamedGateway } from './link-manifests.ts';
import { readableNamespaces } from '../api/link/readable-namespaces.ts';
import { type AccountRef, missingAccount, requestToken } from './token.ts';

/** Which objects of the target cluster are read. */
export interface GatherOptions {
  readonly serviceAccount: string;
  /** Namespace of the ServiceAccount. */
  readonly namespace: string;
  readonly linkerdNamespace: string;
  readonly gateway: LinkGatewayOptions | undefined;
  /** Life of the requested token, milliseconds; undefined: the one of a token Secret, which never expires. */
  readonly tokenTtlMs: number | undefined;
}

export interface LinkGatewayOptions {
  readonly name: string;
  readonly namespace: string;
  /** Used instead of the Service's addresses and port. */
  readonly addresses: readonly string[];
  readonly port: number | undefined;
}

/** What was read from the target cluster. */
export interface TargetFacts {
  /** The target's identifier (`clusterUid`); undefined where it may not be read. */
  readonly uid: string | undefined;
  readonly token: string;
  /** Namespaces that the account may read; undefined: all. */
  readonly readableNamespaces: readonly string[] | undefined;
  readonly gateway: TargetGatewayFacts | undefined;
  /** Gateways that exports name by annotation; undefined: not asked for, or not permitted. */
  readonly namedGateways?: readonly NamedGateway[] | undefined;
  /** Undefined where Linkerd is not installed. */
  readonly linkerd: { readonly clusterDomain: string; readonly trustDomain: string } | undefined;
}

/**
 * Reads what a Link needs from the target cluster.
 * @throws LinkspanError GATEWAY_NOT_FOUND, GATEWAY_INCOMPLETE, LINKERD_CONFIG_INVALID,
 * SERVICE_ACCOUNT_MISSING, SERVICE_ACCOUNT_TOKEN_MISSING, TOKEN_REFUSED, or what the client throws
 */
export async function gatherTargetFacts(client: KubeClient, options: GatherOptions): Promise<TargetFacts> {
  const [uid, gateway, linkerd] = await Promise.all([
    clusterUid(client),
    options.gateway === undefined ? undefined : readGateway(client, options.gateway),
    readLinkerd(client, options.linkerdNamespace),
  ]);
  const account = await readAccount(client, { namespace: options.namespace, name: options.serviceAccount });
  // Last, because a token of limited life is created by reading it.
  const token = await readToken(client, options);
  return {
    uid,
    token,
    gateway,
    linkerd,
    readableNamespaces: readableNamespaces(account.metadata?.annotations),
  };
}

async function readAccount(client: KubeClient, account: AccountRef): Promise<V1ServiceAccount> {
  try {
    return await client.get(serviceAccounts, account);
  } catch (error) {
    throw isNotFound(error) ? missingAccount(account, error) : error;
  }
}

async function readToken(client: KubeClient, options: GatherOptions): Promise<string> {
  const { serviceAccount, namespace, tokenTtlMs } = options;
  const account = { namespace, name: serviceAccount };
  if (tokenTtlMs !== undefined) return requestToken(client, account, tokenTtlMs);
  const { items } = await client.list(secrets, {
    namespace,
    fieldSelector: ACCOUNT_TOKEN_SELECTOR,
  });
  return tokenOf(items, serviceAccount, namespace);
}

/**
 * The bearer token of a ServiceAccount, from a token Secret that names it.
 * @throws LinkspanError SERVICE_ACCOUNT_TOKEN_MISSING
 */
export function tokenOf(candidates: readonly V1Secret[], serviceAccount: string, namespace: string): string {
  const own = candidates.filter((secret) => accountOfToken(secret) === serviceAccount);
  const token = own.map(tokenIn).find((value) => value !== undefined);
  if (token !== undefined) return token;
  const why =
    own.length === 0 ? 'there is no token Secret for it' : 'its token Secret has not been filled in yet';
  throw new LinkspanError(
    'SERVICE_ACCOUNT_TOKEN_MISSING',
    `could not find service account token secret for ${namespace}/${serviceAccount}: ${why}`,
  );
}

async function readGateway(client: KubeClient, options: LinkGatewayOptions): Promise<TargetGatewayFacts> {
  try {
    return gatewayFacts(
      await client.get(services, { namespace: options.namespace, name: options.name }),
      options,
    );
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new LinkspanError(
      'GATEWAY_NOT_FOUND',
      `there is no gateway Service ${options.namespace}/${options.name} in the target cluster`,
      { cause: error },
    );
  }
}

/**
 * The gateway's facts from its Service: annotations, named ports, addresses.
 * @throws LinkspanError GATEWAY_INCOMPLETE
 */
export function gatewayFacts(service: V1Service, options: LinkGatewayOptions): TargetGatewayFacts {
  const name = `${options.name}.${options.namespace}`;
  const incomplete = (what: string) => new LinkspanError('GATEWAY_INCOMPLETE', `gateway ${name} ${what}`);
  const annotation = (what: keyof typeof GATEWAY_ANNOTATIONS) => {
    const value = gatewayAnnotation(service, what);
    if (value === undefined)
      throw incomplete(`has no ${GATEWAY_ANNOTATIONS[what]} annotation, or one that is empty or too long`);
    return value;
  };
  const identity = annotation('identity');
  const path = annotation('probePath');
  const period = probePeriod(annotation('probePeriod'));
  if (period === undefined)
    throw incomplete(`has a ${GATEWAY_ANNOTATIONS.probePeriod} annotation that is no duration`);
  const addresses = options.addresses.length > 0 ? options.addresses : ingressAddresses(service);
  if (addresses.length === 0) throw incomplete('has no ingress addresses');
  return {
    addresses,
    identity,
    port: options.port ?? reachablePort(service, 'traffic', incomplete),
    probe: { path, period, port: reachablePort(service, 'probe', incomplete) },
  };
}

function ingressAddresses(service: V1Service): string[] {
  return (service.status?.loadBalancer?.ingress ?? [])
    .map(({ ip, hostname }) => ip ?? hostname ?? '')
    .filter((item) => item !== '');
}

function reachablePort(
  service: V1Service,
  what: keyof typeof GATEWAY_PORTS,
  incomplete: (what: string) => LinkspanError,
): number {
  const name = GATEWAY_PORTS[what];
  const port = gatewayPort(service, what);
  if (port === undefined) throw incomplete(`is wrong: could not find port with name ${name}`);
  if (service.spec?.type !== 'NodePort') return port.port;
  if (port.nodePort === undefined) throw incomplete(`has no node port for ${name}`);
  return port.nodePort;
}

/**
 * What Linkerd's control plane says of its cluster; undefined where it is not installed.
 * @throws LinkspanError LINKERD_CONFIG_INVALID
 */
export async function readLinkerd(client: KubeClient, namespace: string): Promise<TargetFacts['linkerd']> {
  try {
    const config = await client.get(configMaps, { namespace, name: 'linkerd-config' });
    return linkerdFacts(config.data?.['values'], `ConfigMap ${namespace}/linkerd-config`);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

const linkerdValues = z.looseObject({
  clusterDomain: z.string().nullish(),
  identityTrustDomain: z.string().nullish(),
});

/**
 * Linkerd's domains from the values it was installed with; an unset trust domain is the cluster domain.
 * @throws LinkspanError LINKERD_CONFIG_INVALID
 */
export function linkerdFacts(text: string | undefined, where: string): NonNullable<TargetFacts['linkerd']> {
  let value: unknown;
  try {
    value = parseYaml(text ?? '');
  } catch (error) {
    const line = messageOf(error).split('\n')[0] ?? '';
    throw new LinkspanError('LINKERD_CONFIG_INVALID', `${where}: values is no YAML: ${line}`, {
      cause: error,
    });
  }
  const parsed = linkerdValues.safeParse(value, FEW_VALUES);
  if (!parsed.success)
    throw new LinkspanError(
      'LINKERD_CONFIG_INVALID',
      `${where}: values has no usable clusterDomain and identityTrustDomain`,
    );
  const clusterDomain = parsed.data.clusterDomain || DEFAULT_CLUSTER_DOMAIN;
  return { clusterDomain, trustDomain: parsed.data.identityTrustDomain || clusterDomain };
}
