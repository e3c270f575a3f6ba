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
interface Surroundings {
  readonly owner: V1Service;
  readonly mirrors: MirrorIndex;
  readonly clusterDomain: string;
}

/**
 * The lists of backends of what is about a Service and has managed weights: sidecars divide its requests by
 * them, whoever its own pods are. What is known of Services of this cluster is what the writer of the weights
 * has published.
 */
export async function readManagedGroups(
  client: KubeClient,
  owner: V1Service,
  mirrors: MirrorIndex,
  clusterDomain: string,
): Promise<ApexGroups> {
  const unread: string[] = [];
  const { namespace = '', name = '' } = owner.metadata ?? {};
  const kinds = [...Map.groupBy(WEIGHTED_KINDS, ({ group }) => group)];
  const all = await Promise.all(
    kinds.map(([group, its]) => readGroup(client, { group, kinds: its, namespace }, unread)),
  );
  const about = all.flat().filter(({ kind, object }) => {
    const isAbout = subjectsOf(weightedKind(kind), object, clusterDomain).includes(name);
    return isAbout && isManaged({ kind, object }, clusterDomain, unread);
  });
  const lists = await Promise.all(
    about.map(async (found) => {
      const subjects = await readSubjects(client, found, { owner, clusterDomain }, unread);
      return listGroups(found, subjects, { owner, mirrors, clusterDomain });
    }),
  );
  return { groups: lists.flat(), unread };
}

/**
 * Whether Linkspan writes the weights of an object: it keeps there what their author wrote. The label may
 * name somebody else. Where other weights stand there than it wrote, it may have left them to whoever wrote
 * them.
 */
function isManaged({ kind, object }: Found, clusterDomain: string, unread: string[]): boolean {
  if (object.metadata?.labels?.[FAILOVER_CONTROLLED_BY] === undefined) return false;
  const kept = keptOf(object);
  if (kept.size === 0) return false;
  const all = allLists(readLists(weightedKind(kind), object, clusterDomain));
  const byList = keptByList(all, kept);
  if (!all.some((list) => isOverwritten(list, byList.get(list.at)))) return true;
  unread.push(`${kind} ${keyOf(object)}: somebody else has written its weights last`);
  return false;
}

/** All Services that an object is about: its lists follow the drains of each. */
async function readSubjects(
  client: KubeClient,
  { kind, object }: Found,
  { owner, clusterDomain }: Pick<Surroundings, 'owner' | 'clusterDomain'>,
  unread: string[],
): Promise<V1Service[]> {
  const { namespace = '', name: own } = owner.metadata ?? {};
  const names = subjectsOf(weightedKind(kind), object, clusterDomain).filter((name) => name !== own);
  const others = await Promise.all(
    names.map(async (name) => {
      try {
        return (await orUndefined(client.get(services, { namespace, name }))) ?? [];
      } catch (error) {
        unread.push(`the Service ${namespace}/${name}: ${messageOf(error)}`);
        return [];
      }
    }),
  );
  return [owner, ...others.flat()];
}

interface Found {
  readonly kind: WeightedSource['kind'];
  readonly object: WeightedObject;
}

/** The objects of the kinds of one API group in a namespace. What cannot be read is said in `unread`. */
async function readGroup(
  client: KubeClient,
  asked: {
    readonly group: string;
    readonly kinds: readonly WeightedSource[];
    readonly namespace: string;
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
      const all = await client.list(resource, { namespace }).catch(unreadable(`${plural}.${group}`));
      return (all?.items ?? []).map((object) => ({ kind, object }));
    }),
  );
  return found.flat();
}

/** The groups of the lists of one object, each called by the Service and by where it stands. Pure. */
function listGroups(
  { kind, object }: Found,
  subjects: readonly V1Service[],
  { owner, mirrors, clusterDomain }: Surroundings,
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
