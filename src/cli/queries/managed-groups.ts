import type { V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../../api/annotations.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { readBackendFacts } from '../../api/failover/backend-facts.ts';
import { FAILOVER_BACKEND_FACTS, FAILOVER_CONTROLLED_BY } from '../../api/failover/failover-names.ts';
import { settledTexts, writtenTexts } from '../../api/mirror/failover-texts.ts';
import { WEIGHTED_KINDS, type WeightedSource } from '../../api/routing/weighted-kinds.ts';
import { servedKinds } from '../../kube/client/served-kinds.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { settleTexts } from '../../policy/failover/settled-texts.ts';
import { weighedGroup } from '../../policy/failover/weighed-group.ts';
import type { ApexGroup } from '../../policy/routing/apex-group.ts';
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
  const groups = await Promise.all(
    [...Map.groupBy(WEIGHTED_KINDS, ({ group }) => group)].map(async ([group, kinds]) => {
      const found = await readGroup(client, { group, kinds, namespace }, unread);
      return found.flatMap(({ kind, object }) => {
        const of = weightedKind(kind);
        const isAbout = subjectsOf(of, object, clusterDomain).includes(name);
        const isManaged = object.metadata?.labels?.[FAILOVER_CONTROLLED_BY] !== undefined;
        return isAbout && isManaged ? listGroups(of, object, { owner, mirrors, clusterDomain }) : [];
      });
    }),
  );
  return { groups: groups.flat(), unread };
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

/** The groups of the lists of one object. Pure. */
function listGroups(
  kind: ReturnType<typeof weightedKind>,
  object: WeightedObject,
  {
    owner,
    mirrors,
    clusterDomain,
  }: { readonly owner: V1Service; readonly mirrors: MirrorIndex; readonly clusterDomain: string },
): ApexGroup[] {
  const { namespace = '', name = '' } = owner.metadata ?? {};
  const { annotations } = object.metadata ?? {};
  const here = readBackendFacts(readAnnotation(annotations, FAILOVER_BACKEND_FACTS));
  const texts = settleTexts(writtenTexts(annotations), settledTexts(annotations));
  return readLists(kind, object, clusterDomain).lists.map(({ backends }) => {
    const known = new KnownBackends(owner, mirrors);
    const named = backends.map(
      (backend) =>
        [backend.name, known.of(backend.name, backend.service, () => here.get(backend.name))] as const,
    );
    const group = weighedGroup(new Map(named), { ...texts, primary: primaryOf(object) });
    const { clusters, within } = known;
    return { namespace, service: name, owner, group, demand: 'unheard', clusters, within };
  });
}
