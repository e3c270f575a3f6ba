import { credentialsName, kubeconfigIn } from '../api/credentials/credentials-secret.ts';
import type { V1Secret } from '@kubernetes/client-node';
import { readAnnotation } from '../api/annotations.ts';
import { CLI_MANAGER, IMPORT_GATEWAYS } from '../api/names.ts';
import { applyAll, type Applied } from '../manifests/apply.ts';
import { type KubeClient, type KubeClientOptions, orUndefined } from '../kube/client/kube-client.ts';
import { namespaces, secrets, type KubeObject } from '../api/kubernetes/resource.ts';
import { clusterUid } from './cluster-uid.ts';
import { manifestsFor, readTarget, type Cluster, type LinkRequest } from './link-request.ts';
import { links, type LinkObject } from '../api/link/link-schema.ts';
import { linkRefusal, type SourceFacts } from './source-verdict.ts';

/** One Link to be made: from a target into a source. */
export interface LinkDirection {
  readonly target: Cluster;
  readonly source: Cluster;
  /**
   * The request, which depends on whether the source has a Linkerd control plane that needs credentials too.
   * @throws LinkspanError when the flags do not fit that
   */
  readonly request: (linkerdInSource: boolean) => LinkRequest;
  readonly rebuilt: boolean;
  readonly force: boolean;
}

/** A Link that has passed all checks and can be applied. */
export interface PreparedLink {
  readonly direction: LinkDirection;
  readonly clusterName: string;
  readonly ref: { readonly namespace: string; readonly name: string };
  readonly manifests: readonly KubeObject[];
  /** The existing Link, if there is one. */
  readonly existing: LinkObject | undefined;
  /**
   * Whether a controller already runs the Link with other credentials, so that its status is about the old
   * ones at first.
   */
  readonly replacesCredentials: boolean;
}

/**
 * Reads both clusters and decides whether they can be joined. Nothing is written.
 * @throws LinkspanError everything that `readTarget`, `manifestsFor` and `linkRefusal` find wrong
 */
export async function prepareLink(
  direction: LinkDirection,
  deps: Pick<KubeClientOptions, 'clock' | 'random'>,
): Promise<PreparedLink> {
  const { target, source, rebuilt, force } = direction;
  // These fields do not depend on whether there is a Linkerd control plane.
  const { namespace, linkerdNamespace, clusterName } = direction.request(false);
  const credentialsSecret = credentialsName(clusterName);
  const found = await readSource(source.client, { namespace, linkerdNamespace, credentialsSecret });
  const request = direction.request(found.linkerdNamespaceExists);
  const wanted = { clusterName, namespace, credentialsSecret, rebuilt, force };
  // Before a token is requested from the target, which would be in vain after a refusal.
  const refusal = linkRefusal(found, { ...wanted, targetUid: await clusterUid(target.client) });
  if (refusal !== undefined) throw refusal;
  const facts = await readTarget(target, request, { ...deps, thorough: true });
  const existing = found.links?.find(({ metadata }) => metadata?.name === clusterName);
  // An existing list is the admin's: linking again restores nothing that was taken out of it.
  const known = readAnnotation(existing?.metadata?.annotations, IMPORT_GATEWAYS) !== undefined;
  const manifests = manifestsFor(request, target.access, known ? { ...facts, namedGateways: [] } : facts);
  return {
    direction,
    clusterName,
    ref: { namespace, name: clusterName },
    manifests,
    existing,
    replacesCredentials: existing !== undefined && !hasCredentials(found.secrets, manifests),
  };
}

/**
 * Applies a Link and its Secrets in the source. The spec of an existing Link is replaced as a whole: with
 * server-side apply, labels of its former selectors would remain while their writer (`kubectl apply`) owns
 * them.
 * @param dryRun only validate on the API server
 * @throws what the API server refuses
 */
export async function applyLink(prepared: PreparedLink, dryRun: boolean): Promise<Applied[]> {
  const { direction, manifests, existing, ref } = prepared;
  const { client } = direction.source;
  const how = { fieldManager: CLI_MANAGER, dryRun };
  const { force } = direction;
  if (existing === undefined) return applyAll(client, manifests, { ...how, force });
  const applied = await applyAll(
    client,
    manifests.filter(({ kind }) => kind !== links.kind),
    { ...how, force },
  );
  const wanted = manifests.find(({ kind }) => kind === links.kind) as LinkObject;
  const annotations = { ...existing.metadata?.annotations, ...wanted.metadata?.annotations };
  const patch = [
    { op: 'replace', path: '/spec', value: wanted.spec },
    { op: 'add', path: '/metadata/annotations', value: annotations },
  ];
  const after = await client.patch(links, ref, patch, { type: 'json', ...how });
  const same = after.metadata?.generation === existing.metadata?.generation;
  return [...applied, { object: wanted, what: same ? 'unchanged' : 'configured' }];
}

/** Reads what the source has already. */
async function readSource(
  client: KubeClient,
  where: { namespace: string; linkerdNamespace: string; credentialsSecret: string },
): Promise<SourceFacts> {
  const { namespace, linkerdNamespace, credentialsSecret: name } = where;
  const [uid, own, linkerd, linkObjects, ...secretsFound] = await Promise.all([
    clusterUid(client),
    orUndefined(client.get(namespaces, { name: namespace })),
    orUndefined(client.get(namespaces, { name: linkerdNamespace })),
    listLinks(client, namespace),
    orUndefined(client.get(secrets, { namespace, name })),
    orUndefined(client.get(secrets, { namespace: linkerdNamespace, name })),
  ]);
  return {
    uid,
    namespaceExists: own !== undefined,
    linkerdNamespaceExists: linkerd !== undefined,
    links: linkObjects,
    secrets: secretsFound.filter((secret) => secret !== undefined),
  };
}

/** The Links of a namespace; undefined where the CustomResourceDefinition is missing. */
export async function listLinks(client: KubeClient, namespace: string): Promise<LinkObject[] | undefined> {
  return (await orUndefined(client.list(links, { namespace })))?.items;
}

/** Whether the controller's Secret exists with the same contents. */
function hasCredentials(found: readonly V1Secret[], manifests: readonly KubeObject[]): boolean {
  const wanted = manifests.find(({ kind }) => kind === 'Secret') as V1Secret | undefined;
  const there = found.find(({ metadata }) => metadata?.namespace === wanted?.metadata?.namespace);
  return there !== undefined && wanted !== undefined && kubeconfigIn(there) === kubeconfigIn(wanted);
}
