import { readAnnotation } from '../api/annotations.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { CLI_MANAGER, HELM_RELEASE_NAME, TRUST_CONFIG_MAP } from '../api/names.ts';
import { type KubeClient, orUndefined } from '../kube/client/kube-client.ts';
import { inOrder, isMulticlusterObject, refOf, titleOf } from '../manifests/manifests.ts';
import { configMaps, type KubeObject, namespaces } from '../api/kubernetes/resource.ts';
import { resourcesOf } from '../kube/client/served-kinds.ts';
import { type LinkObject, links } from '../api/link/link-schema.ts';
import { readWrittenWeights, type WeightsRelease } from './written-weights.ts';
import { findInstalled, type InstalledObjects } from './installed-objects.ts';

/** What was read from a cluster before an uninstall. */
export interface UninstallFacts {
  readonly links: readonly LinkObject[];
  readonly installed: InstalledObjects;
  /** Objects of others in the extension's namespace, which would be deleted with the Namespace. */
  readonly others: readonly KubeObject[];
  readonly crd: KubeObject | undefined;
  /** Objects in which failover has written weights. */
  readonly weighted: readonly WeightsRelease[];
}

export interface UninstallRequest {
  readonly namespace: string;
  /** Uninstall although clusters are linked, or Helm has installed it. */
  readonly force: boolean;
  /** Delete the CRD too. */
  readonly crds: boolean;
  /** Carry it out, instead of printing what is to be deleted. */
  readonly apply: boolean;
}

export interface UninstallPlan {
  /** The existing objects to delete, in order. */
  readonly objects: readonly KubeObject[];
  /** What stays, and why; lines for the user. */
  readonly notes: readonly string[];
}

const CRD_VERSION = 'apiextensions.k8s.io/v1';

/** @throws what the client throws */
export async function readUninstall(client: KubeClient, namespace: string): Promise<UninstallFacts> {
  const [found, labelled, trust, crds, weighted] = await Promise.all([
    listLinks(client),
    findInstalled(client),
    // Written by the signer, without the chart's labels.
    orUndefined(client.get(configMaps, { namespace, name: TRUST_CONFIG_MAP })),
    resourcesOf(client, CRD_VERSION),
    readWrittenWeights(client),
  ]);
  const anchors = trust === undefined ? [] : [{ ...trust, apiVersion: 'v1', kind: 'ConfigMap' }];
  const installed = { ...labelled, objects: [...labelled.objects, ...anchors] };
  const resource = crds.get('CustomResourceDefinition');
  const name = `${links.plural}.${links.group}`;
  const crd = resource === undefined ? undefined : await orUndefined(client.get(resource, { name }));
  return {
    links: found,
    installed,
    others: await othersIn(client, namespace, installed.objects),
    weighted,
    crd:
      crd === undefined ? undefined : { ...crd, apiVersion: CRD_VERSION, kind: 'CustomResourceDefinition' },
  };
}

async function listLinks(client: KubeClient): Promise<LinkObject[]> {
  return (await orUndefined(client.list(links)))?.items ?? [];
}

/**
 * Kinds that show that a namespace is in use. Other kinds belong to one of these, or exist in every
 * namespace.
 */
const USED_BY: Readonly<Record<string, readonly string[]>> = {
  v1: ['Pod', 'Service', 'Secret', 'ConfigMap', 'ServiceAccount', 'PersistentVolumeClaim'],
  'apps/v1': ['Deployment', 'StatefulSet', 'DaemonSet'],
  'batch/v1': ['Job', 'CronJob'],
};

async function othersIn(
  client: KubeClient,
  namespace: string,
  ours: readonly KubeObject[],
): Promise<KubeObject[]> {
  if ((await orUndefined(client.get(namespaces, { name: namespace }))) === undefined) return [];
  const known = new Set(ours.map(titleOf));
  const lists = await Promise.all(
    Object.entries(USED_BY).map(async ([apiVersion, kinds]) => {
      const served = await resourcesOf(client, apiVersion);
      return Promise.all(
        kinds.map(async (kind) => {
          const resource = served.get(kind);
          if (resource === undefined) return [];
          const { items } = await client.list(resource, { namespace });
          return items.map((item) => ({ ...item, apiVersion, kind }));
        }),
      );
    }),
  );
  return lists.flat(2).filter((object) => !known.has(titleOf(object)) && !isPartOfNamespace(object));
}

/**
 * Whether an object does not count as use by others: every namespace has it, it has an owner, or it is
 * Linkspan's own (credentials of Links that are gone).
 */
function isPartOfNamespace(object: KubeObject): boolean {
  const { name, ownerReferences = [] } = object.metadata ?? {};
  return (
    ownerReferences.length > 0 ||
    (object.kind === 'ConfigMap' && name === 'kube-root-ca.crt') ||
    (object.kind === 'ServiceAccount' && name === 'default') ||
    isMulticlusterObject(object, CLI_MANAGER)
  );
}

/**
 * Decides what is deleted and what stays. Pure.
 * @throws LinkspanError LINKS_EXIST, HELM_RELEASE, WEIGHTS_STAY
 */
export function planUninstall(facts: UninstallFacts, request: UninstallRequest): UninstallPlan {
  const { force, crds, namespace } = request;
  assertUnlinked(facts, force);
  const release = facts.installed.objects
    .map(({ metadata }) => readAnnotation(metadata?.annotations, HELM_RELEASE_NAME))
    .find((name) => name !== undefined);
  if (release !== undefined && !force)
    throw new LinkspanError('HELM_RELEASE', `Linkspan was installed by Helm, as release ${release}`);
  assertReleasable(facts, request);
  const keepsNamespace = facts.others.length > 0 || facts.links.length > 0;
  const isKept = ({ kind, metadata }: KubeObject) =>
    kind === 'Namespace' && (metadata?.name !== namespace || keepsNamespace);
  const gone = facts.installed.objects.filter((object) => !isKept(object));
  const withCrd = crds && facts.crd !== undefined ? [...gone, facts.crd] : gone;
  return {
    objects: inOrder(withCrd).toReversed(),
    notes: stayNotes(facts, request, keepsNamespace),
  };
}

function assertUnlinked({ links: all }: UninstallFacts, force: boolean): void {
  if (all.length === 0 || force) return;
  const names = all.map(({ spec, metadata }) => spec?.targetClusterName ?? metadata?.name ?? '');
  throw new LinkspanError(
    'LINKS_EXIST',
    `Please unlink the following clusters before uninstalling multicluster: ${[...new Set(names)].toSorted().join(', ')}`,
  );
}

/** Weights of an outage would stay for ever, and whoever runs them may not be whoever uninstalls. */
function assertReleasable({ weighted }: UninstallFacts, { force, apply }: UninstallRequest): void {
  const refused = weighted.filter(({ refusal }) => refusal !== undefined);
  if (refused.length > 0 && apply && !force) throw weightsStay(refused);
}

/** The error of weights that could not be put back. */
export function weightsStay(
  refused: readonly { readonly object: KubeObject; readonly refusal: string | undefined }[],
): LinkspanError {
  const lines = refused.map(({ object, refusal = '' }) => `${titleOf(object)}: ${refusal}`);
  return new LinkspanError('WEIGHTS_STAY', shortList(lines, '; '));
}

function weightNotes({ weighted }: UninstallFacts, { apply }: UninstallRequest): string[] {
  if (weighted.length === 0) return [];
  const names = shortList(weighted.map(({ object }) => titleOf(object)));
  const stays = weighted.flatMap(({ object, stays: lines, refusal }) => {
    const all = refusal === undefined ? lines : [refusal, ...lines];
    return all.length === 0 ? [] : [`${titleOf(object)}: ${all.join(', ')}`];
  });
  return [
    apply
      ? `Weights that failover has written are put back as their author wrote them, when the controller is gone: ${names}`
      : `Weights that failover has written stay as they are now; \`linkspan uninstall --apply\` puts back what their author wrote, also when all else is deleted: ${names}`,
    ...(stays.length === 0 ? [] : [`Of these weights some cannot be put back: ${shortList(stays, '; ')}`]),
  ];
}

function stayNotes(facts: UninstallFacts, request: UninstallRequest, keepsNamespace: boolean): string[] {
  const { links: linked, others, crd, installed } = facts;
  const there = installed.objects.some(
    ({ kind, metadata }) => kind === 'Namespace' && metadata?.name === request.namespace,
  );
  const notes: string[] = [];
  if (linked.length > 0)
    notes.push(`Links and what they have mirrored stay: ${linked.map((link) => refText(link)).join(', ')}`);
  notes.push(...weightNotes(facts, request));
  if (there && keepsNamespace && others.length > 0)
    notes.push(
      `Namespace ${request.namespace} stays, it has others' objects: ${shortList(others.map(titleOf))}`,
    );
  if (crd !== undefined && !request.crds)
    notes.push(`CRD ${crd.metadata?.name ?? ''} stays (--crds deletes it too, and with it every Link)`);
  return notes;
}

function refText(object: KubeObject): string {
  const { namespace = '', name } = refOf(object);
  return `${namespace}/${name}`;
}

function shortList(texts: readonly string[], between = ', '): string {
  const more = texts.length - 5;
  return texts.slice(0, 5).join(between) + (more > 0 ? ` and ${more} more` : '');
}
