import { credentialsName, isCredentials } from '../api/credentials/credentials-secret.ts';
import type { V1Lease, V1Secret, V1Service } from '@kubernetes/client-node';
import { clusterOfEntry, federatedEntries } from '../api/mirror/federated-members.ts';
import { linkOf } from '../api/mirror/mirror-annotations.ts';
import { clusterOf, MIRRORED_SELECTOR } from '../api/mirror/mirror-labels.ts';
import { linkLeaseName } from '../api/lease-names.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { type KubeClient, orUndefined } from '../kube/client/kube-client.ts';
import { refOf, stubOfListed } from '../manifests/manifests.ts';
import {
  clusterRoleBindings,
  clusterRoles,
  deployments,
  keyOf,
  leases,
  roleBindings,
  roles,
  secrets,
  serviceAccounts,
  services,
  type KubeObject,
  type Resource,
} from '../api/kubernetes/resource.ts';
import { listLinks } from './link-apply.ts';
import { links, type LinkObject } from '../api/link/link-schema.ts';

/** Which Link is to be removed. */
export interface UnlinkRequest {
  readonly clusterName: string;
  readonly namespace: string;
  readonly linkerdNamespace: string;
  /** Remove only Linkerd's own controller of this Link (2.17 and before), to migrate to the chart's. */
  readonly onlyController: boolean;
}

/** What a source cluster has of one Link. */
export interface UnlinkFacts {
  readonly link: LinkObject | undefined;
  /** Names of all Links. */
  readonly linkNames: readonly string[];
  /** Another Link to the same cluster, which takes the mirrors over. */
  readonly heir: string | undefined;
  readonly secrets: readonly V1Secret[];
  /** The existing objects of Linkerd's own controller of this Link. */
  readonly legacy: readonly KubeObject[];
  readonly lease: V1Lease | undefined;
  /** Mirrors of the cluster, with their endpoint mirrors. */
  readonly mirrors: readonly V1Service[];
  /** Federated Services that have a member of the cluster. */
  readonly federated: readonly V1Service[];
}

/** Reads the facts from the source cluster. */
export async function readUnlink(client: KubeClient, request: UnlinkRequest): Promise<UnlinkFacts> {
  const { clusterName: name, namespace, linkerdNamespace } = request;
  const all = (await listLinks(client, namespace)) ?? [];
  const link = all.find(({ metadata }) => metadata?.name === name);
  const heir = all.find(({ metadata, spec }) => metadata?.name !== name && spec?.targetClusterName === name);
  const [legacy, lease, made, ...secretsFound] = await Promise.all([
    readLegacy(client, name, namespace),
    orUndefined(client.get(leases, { namespace, name: linkLeaseName(name) })),
    client.list(services, { labelSelector: MIRRORED_SELECTOR }),
    orUndefined(
      client.get(secrets, { namespace, name: link?.spec?.clusterCredentialsSecret ?? credentialsName(name) }),
    ),
    orUndefined(client.get(secrets, { namespace: linkerdNamespace, name: credentialsName(name) })),
  ]);
  return {
    link,
    linkNames: all.map(({ metadata }) => metadata?.name ?? ''),
    heir: heir?.metadata?.name,
    // Other Secrets of this name are not ours.
    secrets: secretsFound.filter((secret) => secret !== undefined).filter(isCredentials),
    legacy,
    lease,
    ...remainders(made.items, name, `${namespace}/${name}`),
  };
}

/** The mirrors and federated memberships that still exist of a Link. */
export function remainders(
  made: readonly V1Service[],
  cluster: string,
  link: string,
): Pick<UnlinkFacts, 'mirrors' | 'federated'> {
  const madeFor = (service: V1Service) => {
    const origin = linkOf(service);
    // Linkerd's mirrors do not name their Link; ours do, and those of another Link are left out.
    return clusterOf(service) === cluster && (origin === undefined || origin === link);
  };
  const isMember = (service: V1Service) =>
    federatedEntries(service).some((entry) => clusterOfEntry(entry) === cluster);
  return {
    mirrors: made.filter(madeFor),
    federated: made.filter((service) => !madeFor(service) && isMember(service)),
  };
}

async function readLegacy(client: KubeClient, name: string, namespace: string): Promise<KubeObject[]> {
  const local = `linkerd-service-mirror-access-local-resources-${name}`;
  const creds = `linkerd-service-mirror-read-remote-creds-${name}`;
  const controller = `linkerd-service-mirror-${name}`;
  const candidates: readonly [Resource<KubeObject>, string][] = [
    [deployments, controller],
    [services, `probe-gateway-${name}`],
    [clusterRoleBindings, local],
    [clusterRoles, local],
    [roleBindings, creds],
    [roles, creds],
    [serviceAccounts, controller],
  ];
  const found = await Promise.all(
    candidates.map(async ([resource, object]) => {
      const ref = resource.namespaced ? { namespace, name: object } : { name: object };
      return (await orUndefined(client.get(resource, ref))) === undefined
        ? []
        : [stubOfListed(resource, ref)];
    }),
  );
  return found.flat();
}

/** The steps of an unlinking. */
export interface UnlinkPlan {
  /** Deleted first: then the controller begins to clean up. */
  readonly link: readonly KubeObject[];
  /** Whether the controller that holds the Lease removes the mirrors and memberships. */
  readonly controllerCleansUp: boolean;
  /** Mirrors that no controller would remove. */
  readonly mirrors: readonly KubeObject[];
  /** Deleted last. */
  readonly rest: readonly KubeObject[];
  /** Notes for the user. */
  readonly notes: readonly string[];
}

/**
 * Decides what is deleted, and in which order. Pure. Names only objects that exist and that no other Link
 * needs.
 * @param now of the API server's clock, milliseconds since the epoch
 * @throws LinkspanError LINK_NOT_FOUND when nothing of this Link exists
 */
export function planUnlink(facts: UnlinkFacts, request: UnlinkRequest, now: number): UnlinkPlan {
  if (request.onlyController) return onlyController(facts, request);
  if (isEmpty(facts)) {
    const key = `${request.namespace}/${request.clusterName}`;
    throw new LinkspanError(
      'LINK_NOT_FOUND',
      `there is no Link ${key}, and nothing that it left (${known(facts)})`,
    );
  }
  const { link, legacy, lease, mirrors, heir } = facts;
  const controllerCleansUp = link !== undefined && isKeptByLinkspan(link) && isHeld(lease, now);
  const stays = controllerCleansUp || heir !== undefined;
  return {
    link: link === undefined ? [] : [stubOfListed(links, refOf(link))],
    controllerCleansUp,
    mirrors: stays ? [] : mirrors.map((service) => stubOfListed(services, refOf(service))),
    rest: [
      ...legacy,
      ...facts.secrets.map((secret) => stubOfListed(secrets, refOf(secret))),
      // Linkspan's controller removes the Lease itself.
      ...(lease === undefined || controllerCleansUp ? [] : [stubOfListed(leases, refOf(lease))]),
    ],
    notes: notesOf(facts, stays),
  };
}

function isEmpty({ link, lease, secrets: credentials, legacy, mirrors }: UnlinkFacts): boolean {
  const single = [link, lease].filter((object) => object !== undefined);
  return single.length + credentials.length + legacy.length + mirrors.length === 0;
}

function notesOf({ heir, federated }: UnlinkFacts, stays: boolean): string[] {
  if (heir !== undefined) return [`the Link "${heir}" names the same cluster: mirrors are handed over to it`];
  if (stays || federated.length === 0) return [];
  return [
    `${federated.length} federated Services keep their member of this cluster: only a running controller takes it out`,
  ];
}

function onlyController({ legacy }: UnlinkFacts, { clusterName }: UnlinkRequest): UnlinkPlan {
  if (legacy.length === 0)
    throw new LinkspanError(
      'LINK_NOT_FOUND',
      `the cluster "${clusterName}" has no former controller of its own here`,
    );
  return { link: [], controllerCleansUp: false, mirrors: [], rest: legacy, notes: [] };
}

function known({ linkNames }: UnlinkFacts): string {
  return linkNames.length === 0 ? 'there are no Links' : `there are: ${[...linkNames].sort().join(', ')}`;
}

/** Whether Linkspan's controller keeps a Link; Linkerd's writes no conditions, and does not clean up. */
function isKeptByLinkspan({ status }: LinkObject): boolean {
  return (status?.conditions ?? []).length > 0;
}

/**
 * Whether the Lease is being renewed. Its `renewTime` is by its holder's clock, which may be wrong, so the
 * time of the last write by the API server's clock is used, as is `now`.
 */
function isHeld(lease: V1Lease | undefined, now: number): boolean {
  const { holderIdentity = '', leaseDurationSeconds = 30 } = lease?.spec ?? {};
  const written = (lease?.metadata?.managedFields ?? []).map(({ time }) => new Date(time ?? 0).getTime());
  return holderIdentity !== '' && now - Math.max(0, ...written) < 2000 * leaseDurationSeconds;
}

/** What still exists of a Link that is gone, for people; empty when nothing does. */
export function remainderText({ mirrors, federated }: Pick<UnlinkFacts, 'mirrors' | 'federated'>): string {
  const parts = [
    ...(mirrors.length === 0
      ? []
      : [`${mirrors.length} mirrors (${mirrors.slice(0, 3).map(keyOf).join(', ')}…)`]),
    ...(federated.length === 0 ? [] : [`a member in ${federated.length} federated Services`]),
  ];
  return parts.join(' and ');
}
