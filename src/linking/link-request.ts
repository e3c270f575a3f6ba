import { DEFAULT_CLUSTER_DOMAIN } from '../api/names.ts';
import { isPodAccount, withBearer, type ClusterAccess } from '../kube/client/access.ts';
import { trustDomainOf } from '../identity/names/trust-domain.ts';
import { isForbidden, KubeClient, type KubeClientOptions } from '../kube/client/kube-client.ts';
import type { KubeObject } from '../api/kubernetes/resource.ts';
import { assertRights, neededRights } from './account-rights.ts';
import { apiServerAddress } from './api-address.ts';
import { gatewaysToAllow, readNamedGateways } from './export-gateways.ts';
import { gatherTargetFacts, type LinkGatewayOptions, type TargetFacts } from './link-gen.ts';
import { linkManifests, type LinkSelection, type NamedGateway } from './link-manifests.ts';

/** A Link as the user requests it. */
export interface LinkRequest extends LinkSelection {
  /** Name of the target cluster. */
  readonly clusterName: string;
  /** Of the Link, and of the account in the target. */
  readonly namespace: string;
  readonly linkerdNamespace: string;
  /** URL of the target's API server as the source reaches it; undefined: the kubeconfig's. */
  readonly apiServerAddress: string | undefined;
  readonly serviceAccountName: string;
  readonly gateway: LinkGatewayOptions | undefined;
  /** Undefined: what Linkerd's configuration in the target says. */
  readonly clusterDomain: string | undefined;
  readonly trustDomain: string | undefined;
  readonly destinationCredentials: boolean;
  /**
   * Whether the gateways that the target's exports name by annotation now are put into the Link's list of
   * allowed ones.
   */
  readonly importGateways: boolean;
  /** Life of the token, milliseconds; undefined: it never ends. */
  readonly tokenTtlMs: number | undefined;
  readonly version: string;
}

/** A cluster, with its access and a client. */
export interface Cluster {
  readonly access: ClusterAccess;
  readonly client: KubeClient;
}

/**
 * Reads what a Link needs from the target, and checks the account's rights, without which the Link would not
 * work.
 * @param thorough whether the rights for mirroring are checked too; otherwise only the one to renew a token
 * of limited life
 * @throws LinkspanError as `gatherTargetFacts` and `assertRights` do, or API_SERVER_ADDRESS_LOCAL
 */
export async function readTarget(
  target: Cluster,
  request: LinkRequest,
  options: Pick<KubeClientOptions, 'clock' | 'random'> & { readonly thorough: boolean },
): Promise<TargetFacts> {
  const { serviceAccountName, namespace, linkerdNamespace, gateway, tokenTtlMs } = request;
  const gathered = await gatherTargetFacts(target.client, {
    serviceAccount: serviceAccountName,
    namespace,
    linkerdNamespace,
    gateway,
    tokenTtlMs,
  });
  const facts: TargetFacts = { ...gathered, namedGateways: await namedGateways(target.client, request) };
  if (!options.thorough && tokenTtlMs === undefined) return facts;
  const account = { namespace, name: serviceAccountName };
  const needed = neededRights(account, tokenTtlMs !== undefined, facts.readableNamespaces);
  const client = new KubeClient(withBearer(target.access, facts.token), options);
  try {
    await assertRights(client, account, options.thorough ? needed : needed.slice(-1));
  } finally {
    await client.close();
  }
  return facts;
}

async function namedGateways(
  client: KubeClient,
  { gateway, importGateways }: LinkRequest,
): Promise<readonly NamedGateway[] | undefined> {
  if (gateway === undefined || !importGateways) return undefined;
  try {
    return await readNamedGateways(client);
  } catch (error) {
    // Linking works without the right to list all Services.
    if (isForbidden(error)) return undefined;
    throw error;
  }
}

/** The Secrets and the Link. @throws LinkspanError LINK_INVALID, API_SERVER_ADDRESS_LOCAL */
export function manifestsFor(request: LinkRequest, access: ClusterAccess, facts: TargetFacts): KubeObject[] {
  const server = apiServerAddress(request.apiServerAddress, {
    server: access.server,
    inCluster: isPodAccount(access),
  });
  const clusterDomain = request.clusterDomain ?? facts.linkerd?.clusterDomain ?? DEFAULT_CLUSTER_DOMAIN;
  return linkManifests({
    ...request,
    clusterDomain,
    trustDomain:
      request.trustDomain ??
      facts.linkerd?.trustDomain ??
      trustDomainOf(facts.gateway?.identity ?? '') ??
      clusterDomain,
    server,
    ca: access.ca,
    tlsServerName: access.tlsServerName,
    skipVerify: access.skipVerify,
    serviceAccount: request.serviceAccountName,
    token: facts.token,
    gateway: facts.gateway,
    readableNamespaces: facts.readableNamespaces,
    allowedGateways: gatewaysToAllow(facts.namedGateways ?? [], facts.gateway),
  });
}
