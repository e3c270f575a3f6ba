import type { V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../../api/annotations.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { readBackendFacts } from '../../api/failover/backend-facts.ts';
import { FAILOVER_BACKEND_FACTS, FAILOVER_CONTROLLED_BY } from '../../api/failover/failover-names.ts';
import { settledTexts, writtenTexts } from '../../api/mirror/failover-texts.ts';
import { WEIGHTED_KINDS, type WeightedSource } from '../../api/routing/weighted-kinds.ts';
import { keyOf, services } from '../../api/kubernetes/resource.ts';
import { servedKinds } from '../../kube/client/served-kinds.ts';
import { type KubeClient, orUndefined } from '../../kube/client/kube-client.ts';
import { settleTexts } from '../../policy/failover/settled-texts.ts';
import { weighedGroup } from '../../policy/failover/weighed-group.ts';
import type { ApexGroup } from '../../policy/routing/apex-group.ts';
import { isOverwritten, keptByList } from '../../policy/weights/kept-lists.ts';
import { allLists, keptOf } from '../../policy/weights/release.ts';
import {
  primaryOf,
  readLists,
  subjectsOf,
  weightedKind,
  type WeightedObject,
} from '../../policy/weights/weighted-object.ts';
import { type ApexGroups, KnownBackends, type MirrorIndex } from './apex-groups.ts';

/** How long an API server has to say which kinds it serves, milliseconds. */
const ANSWER_MS = 10_000;

/** Where the backends of lists are looked up. */
export interface ManagedSurroundings {
  readonly client: KubeClient;
  readonly mirrors: MirrorIndex;
  /** Such as `cluster.local`. */
  readonly clusterDomain: string;
}

/**
 * The lists of backends of what is about a Service and has managed weights: sidecars divide its requests by
 * them, whoever its own pods are. What is known of Services of this cluster is what the writer of the weights
 * has published.
 */
export async function readManagedGroups(owner: V1Service, around: ManagedSurroundings): Promise<ApexGroups> {
  const { namespace = '', name = '' } = owner.metadata ?? {};
  const unread: string[] = [];
  const all = await readLabelled(around.client, namespace, unread);
  const about = all.filter(({ kind, object }) =>
    subjectsOf(weightedKind(kind), object, around.clusterDomain).includes(name),
  );
  const managed = about.filter(({ kind, object }) => {
    if (!isOverwrittenHere({ kind, object }, around)) return true;
    unread.push(`${kind} ${keyOf(object)}: somebody else has written its weights last`);
    return false;
  });
  const known = new Map([[keyOf(owner), Promise.resolve(owner)]]);
  return { groups: await groupsOf(managed, around, { owner, known, unread }), unread };
}

/**
 * The same of all Services. Weights that somebody else has written last are among them: Linkspan may write
 * them again.
 */
export async function readAllManagedGroups(around: ManagedSurroundings): Promise<ApexGroups> {
  const unread: string[] = [];
  const all = await readLabelled(around.client, undefined, unread);
  return { groups: await groupsOf(all, around, { known: new Map(), unread }), unread };
}

interface Found {
  readonly kind: WeightedSource['kind'];
  readonly object: WeightedObject;
}

/** What is shared by all that is read for one answer. */
interface Reading {
  /** Whose groups they are said to be; absent: those of the first Service that an object is about. */
  readonly owner?: V1Service;
  /** Services that have been asked for, by their keys. */
  readonly known: Map<string, Promise<V1Service | undefined>>;
  /** As `ApexGroups.unread`. */
  readonly unread: string[];
}

async function groupsOf(
  found: readonly Found[],
  around: ManagedSurroundings,
  reading: Reading,
): Promise<ApexGroup[]> {
  const lists = await Promise.all(
    found.map(async (one) => {
      const subjects = await readSubjects(one, around, reading);
      const [owner] = reading.owner === undefined ? subjects : [reading.owner];
      // What is about no Service divides nobody's requests.
      return owner === undefined ? [] : listGroups(one, owner, subjects, around);
    }),
  );
  return lists.flat();
}

/**
 * Whether other weights stand in an object than Linkspan wrote: it may have left them to whoever wrote them.
 */
function isOverwrittenHere(
  { kind, object }: Found,
  { clusterDomain }: Pick<ManagedSurroundings, 'clusterDomain'>,
): boolean {
  const all = allLists(readLists(weightedKind(kind), object, clusterDomain));
  const byList = keptByList(all, keptOf(object));
  return all.some((list) => isOverwritten(list, byList.get(list.at)));
}

/** All Services that an object is about: its lists follow the drains of each. */
async function readSubjects(
  { kind, object }: Found,
  { client, clusterDomain }: ManagedSurroundings,
  { known, unread }: Reading,
): Promise<V1Service[]> {
  const { namespace = '' } = object.metadata ?? {};
  const read = async (name: string): Promise<V1Service | undefined> => {
    try {
      return await orUndefined(client.get(services, { namespace, name }));
    } catch (error) {
      unread.push(`the Service ${namespace}/${name}: ${messageOf(error)}`);
      return undefined;
    }
  };
  const all = await Promise.all(
    subjectsOf(weightedKind(kind), object, clusterDomain).map((name) => {
      const key = keyOf({ namespace, name });
      const one = known.get(key) ?? read(name);
      known.set(key, one);
      return one;
    }),
  );
  return all.filter((one) => one !== undefined);
}

/**
 * The objects whose weights Linkspan writes, of all kinds: it keeps there what their author wrote. The label
 * may name somebody else.
 * @param namespace undefined: of all namespaces
 */
async function readLabelled(
  client: KubeClient,
  namespace: string | undefined,
  unread: string[],
): Promise<Found[]> {
  const kinds = [...Map.groupBy(WEIGHTED_KINDS, ({ group }) => group)];
  const all = await Promise.all(
    kinds.map(([group, its]) => readGroup(client, { group, kinds: its, namespace }, unread)),
  );
  return all.flat().filter(({ object }) => keptOf(object).size > 0);
}

/** The objects with the label, of the kinds of one API group. What cannot be read is said in `unread`. */
async function readGroup(
  client: KubeClient,
  asked: {
    readonly group: string;
    readonly kinds: readonly WeightedSource[];
    readonly namespace: string | undefined;
  },
  unread: string[],
): Promise<Found[]> {
  const { group, kinds, namespace } = asked;
  const unreadable = (what: string) => (error: unknown) => {
    unread.push(`${what}: ${messageOf(error)}`);
  };
  const served = await servedKinds(client, group, AbortSignal.timeout(ANSWER_MS)).catch(unreadable(group));
  const found = await Promise.all(
    kinds.map(async ({ kind, plural }): Promise<Found[]> => {
      const version = served?.get(plural);
      if (version === undefined) return [];
      const resource = { group, version, kind, plural, namespaced: true };
      const where = namespace === undefined ? {} : { namespace };
      const options = { ...where, labelSelector: FAILOVER_CONTROLLED_BY };
      const all = await client.list(resource, options).catch(unreadable(`${plural}.${group}`));
      return (all?.items ?? []).map((object) => ({ kind, object }));
    }),
  );
  return found.flat();
}

/** The groups of the lists of one object, each called by the Service and by where it stands. Pure. */
function listGroups(
  { kind, object }: Found,
  owner: V1Service,
  subjects: readonly V1Service[],
  { mirrors, clusterDomain }: ManagedSurroundings,
): ApexGroup[] {
  const { namespace = '', name = '' } = owner.metadata ?? {};
  const { annotations, name: its = '' } = object.metadata ?? {};
  const here = readBackendFacts(readAnnotation(annotations, FAILOVER_BACKEND_FACTS));
  const texts = settleTexts(writtenTexts(annotations), settledTexts(annotations));
  const of = weightedKind(kind);
  return readLists(of, object, clusterDomain).lists.map(({ at, backends }) => {
    const known = new KnownBackends(subjects, mirrors);
    const named = backends.map(
      (backend) =>
        [backend.name, known.of(backend.name, backend.service, () => here.get(backend.name))] as const,
    );
    const group = weighedGroup(new Map(named), { ...texts, primary: primaryOf(object) });
    const { clusters, within } = known;
    const service = `${name} (${kind} ${its}${of.field === 'rules' ? ` rule ${at + 1}` : ''})`;
    return { namespace, service, owner, group, demand: 'unheard', clusters, within };
  });
}
