import { type KeptList, type KeptWeights, writeKeptWeights } from '../../api/failover/backend-weights.ts';
import { FAILOVER_CONTROLLED_BY } from '../../api/failover/failover-names.ts';
import type { FailoverReason } from '../../api/failover/failover-reasons.ts';
import { settledTexts, writtenTexts } from '../../api/mirror/failover-texts.ts';
import { type FailoverCondition, failoverConditions } from '../../policy/failover/failover-conditions.ts';
import { decide, type Decision } from '../../policy/failover/decide.ts';
import { routeWeights, splitWeights } from '../../policy/failover/route-weights.ts';
import { type SettledTexts, settleTexts } from '../../policy/failover/settled-texts.ts';
import { type WeighedBackend, weighedGroup } from '../../policy/failover/weighed-group.ts';
import { allLists, keptOf, type ReleasedWeights, releasedLists } from '../../policy/weights/release.ts';
import { isOverwritten, keptByList, keptFor, releasedWeights } from '../../policy/weights/kept-lists.ts';
import {
  type BackendList,
  primaryOf,
  readLists,
  type WeightedKind,
  type WeightedObject,
  weightsWriter,
} from '../../policy/weights/weighted-object.ts';

/** The name under which the label says that Linkspan is to write the weights. */
export const OUR_CONTROLLER = 'linkspan';
/** The one under which linkerd-failover does, by default; ours while none of its pods is there. */
export const LINKERD_CONTROLLER = 'linkerd-failover';
/** The field manager of our writes of weights. */
export const WEIGHTS_MANAGER = 'linkspan-failover';
/**
 * Field managers of programs that move weights for their own ends, step by step; whoever of them wrote last
 * goes on doing it. None of them names itself, so that a manager is the name of the program's file: Flagger
 * (`pkg/router`), Argo Rollouts (`rollout/trafficrouting/smi`), and its plugin for Gateway API, which is a
 * process of its own, in a file that is called as the plugin is (`utils/plugin/downloader.go`:
 * `plugin-bin/argoproj-labs/gatewayAPI`).
 */
const OTHER_CONTROLLERS: ReadonlySet<string> = new Set([
  'flagger',
  'rollouts-controller',
  'argo-rollouts',
  'gatewayAPI',
]);
/** Kinds whose controllers move the weights of the objects that they own. */
const OTHER_OWNERS: ReadonlySet<string> = new Set(['flagger.app/Canary', 'argoproj.io/Rollout']);
/** Times in a row that somebody may put back what we wrote, until it is left to him. */
export const MAX_OVERWRITTEN = 3;

/** What is known of an object whose backends have weights. */
export interface WeightsFacts {
  readonly kind: WeightedKind;
  readonly object: WeightedObject;
  readonly clusterDomain: string;
  /** Values of the label that are ours, `linkspan` among them. */
  readonly controllers: ReadonlySet<string>;
  /** Whether linkerd-failover runs here; undefined: not known yet. */
  readonly linkerdFailover: boolean | undefined;
  /** What is known of a backend, by `namespace/name` of its Service. */
  readonly backendOf: (service: string) => WeighedBackend;
  /** How often in a row, within minutes, somebody else has written over our weights. */
  readonly overwritten: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** The weights that a list is to have, in the order of its backends, and why. */
export interface WantedWeights {
  readonly list: BackendList;
  readonly decision: Decision;
  /** What is told of it, as of a federated Service. */
  readonly conditions: readonly FailoverCondition[];
  readonly weights: readonly number[];
}

export type WeightsVerdict =
  | { readonly action: 'ignore' }
  /** Somebody else's, or not known whose: nothing is written. */
  | { readonly action: 'leave'; readonly reason: FailoverReason | undefined; readonly message: string }
  /** Nobody manages it any more: what its author wrote is put back. */
  | { readonly action: 'restore'; readonly released: readonly ReleasedWeights[] }
  | {
      readonly action: 'write';
      readonly wanted: readonly WantedWeights[];
      /** Lists that cannot be managed, any more or at all: what their author wrote is put back. */
      readonly released: readonly ReleasedWeights[];
      /** What is kept of lists whose weights stay as they are for now, and of all others. */
      readonly kept: KeptWeights;
      /** What keeps lists from being managed, one line each. */
      readonly problems: readonly string[];
      readonly texts: SettledTexts;
      /** When shares next change by time alone, milliseconds since the epoch. */
      readonly nextChangeAt: number | undefined;
      readonly rampMs: number;
    };

type Check = (facts: WeightsFacts) => WeightsVerdict | undefined;

/** In the order in which they are asked; the first that knows says what is done. */
const CHECKS: readonly Check[] = [
  nobodyAsked,
  noLongerAsked,
  anotherControllerAsked,
  linkerdFailoverRuns,
  anotherControllerOwns,
  anotherControllerWrites,
  somebodyPutsBack,
];

/** What is to be done with an object. Pure. */
export function weightsVerdict(facts: WeightsFacts): WeightsVerdict {
  for (const check of CHECKS) {
    const verdict = check(facts);
    if (verdict !== undefined) return verdict;
  }
  return weightsByFacts(facts);
}

/** The label that says who writes the weights; undefined: nobody does. */
export function controllerOf({ metadata }: WeightedObject): string | undefined {
  return metadata?.labels?.[FAILOVER_CONTROLLED_BY];
}

function nobodyAsked({ object }: WeightsFacts): WeightsVerdict | undefined {
  return controllerOf(object) === undefined && keptOf(object).size === 0 ? { action: 'ignore' } : undefined;
}

function noLongerAsked({ kind, object, clusterDomain }: WeightsFacts): WeightsVerdict | undefined {
  if (controllerOf(object) !== undefined) return undefined;
  return { action: 'restore', released: releasedLists(kind, object, clusterDomain) };
}

function anotherControllerAsked({ object, controllers }: WeightsFacts): WeightsVerdict | undefined {
  const controller = controllerOf(object) ?? '';
  if (controllers.has(controller) || controller === LINKERD_CONTROLLER) return undefined;
  return other(`the label ${FAILOVER_CONTROLLED_BY} names ${controller}`);
}

function linkerdFailoverRuns({
  object,
  controllers,
  linkerdFailover,
}: WeightsFacts): WeightsVerdict | undefined {
  const controller = controllerOf(object) ?? '';
  if (controllers.has(controller) || linkerdFailover === false) return undefined;
  if (linkerdFailover === undefined)
    return { action: 'leave', reason: undefined, message: 'whether linkerd-failover runs is not known' };
  return other('linkerd-failover runs here, and the label is its own');
}

/** Somebody may have edited its weights since they were moved last: they will be again. */
function anotherControllerOwns({ object }: WeightsFacts): WeightsVerdict | undefined {
  const owner = (object.metadata?.ownerReferences ?? []).find(
    ({ controller, apiVersion, kind }) =>
      controller === true && OTHER_OWNERS.has(`${apiVersion.split('/')[0]}/${kind}`),
  );
  return owner && other(`the ${owner.kind} ${owner.name} owns it, and moves its weights`);
}

function anotherControllerWrites({ kind, object }: WeightsFacts): WeightsVerdict | undefined {
  const writer = weightsWriter(kind, object);
  if (writer === undefined || !OTHER_CONTROLLERS.has(writer)) return undefined;
  return other(`${writer} writes these weights`);
}

function somebodyPutsBack({ kind, object, overwritten }: WeightsFacts): WeightsVerdict | undefined {
  if (overwritten < MAX_OVERWRITTEN) return undefined;
  const writer = weightsWriter(kind, object) ?? 'somebody';
  return other(`${writer} has put its own weights back ${overwritten} times`);
}

function other(message: string): WeightsVerdict {
  return { action: 'leave', reason: 'OtherController', message };
}

function weightsByFacts(facts: WeightsFacts): WeightsVerdict {
  const { kind, object, clusterDomain, now } = facts;
  const { annotations } = object.metadata ?? {};
  const texts = settleTexts(writtenTexts(annotations), settledTexts(annotations));
  const read = readLists(kind, object, clusterDomain);
  const problems = [...read.problems];
  const before = keptByList(allLists(read), keptOf(object));
  const released = read.others.map((list) => ({ list, weights: releasedWeights(list, before.get(list.at)) }));
  const kept = new Map<number, KeptList>();
  const wanted: WantedWeights[] = [];
  let nextChangeAt: number | undefined;
  let rampMs = 0;
  for (const list of read.lists) {
    const known = new Map(list.backends.map(({ name, service }) => [name, facts.backendOf(service)]));
    const group = weighedGroup(known, { ...texts, primary: primaryOf(object) });
    const decision = decide(group.backends, group.policy, now);
    ({ rampMs } = group.policy);
    nextChangeAt = Math.min(
      nextChangeAt ?? Number.POSITIVE_INFINITY,
      decision.nextChangeAt ?? Number.POSITIVE_INFINITY,
    );
    const isRoute = kind.field === 'rules';
    const weights = isRoute ? routeWeights(decision, group.policy.standbyPpm) : splitWeights(decision);
    const was = before.get(list.at);
    if (weights === undefined) {
      // All requests are refused, which weights cannot say: those that stand there stay, and what is kept.
      if (was !== undefined) kept.set(list.at, was);
      continue;
    }
    const written = list.backends.map(({ name }) => weights.get(name) ?? 0);
    const one = { weights: keptFor(list.backends, was, written), rule: list.rule };
    if (writeKeptWeights(new Map([...kept, [list.at, one]])) === undefined) {
      problems.push(`rule ${list.at + 1}: there is no room to keep what its author wrote`);
      released.push({ list, weights: releasedWeights(list, was) });
      continue;
    }
    kept.set(list.at, one);
    const { placement } = group;
    const said = [...problems, ...texts.problems, ...group.problems];
    const conditions = failoverConditions({ decision, placement, problems: said });
    wanted.push({ list, decision, conditions, weights: written });
  }
  const next = nextChangeAt === Number.POSITIVE_INFINITY ? undefined : nextChangeAt;
  return { action: 'write', wanted, released, kept, problems, texts, nextChangeAt: next, rampMs };
}

/** Whether weights that stand there are not those that we wrote last. Pure. */
export function isWrittenOver(kind: WeightedKind, object: WeightedObject, clusterDomain: string): boolean {
  const all = allLists(readLists(kind, object, clusterDomain));
  const kept = keptByList(all, keptOf(object));
  return all.some((list) => isOverwritten(list, kept.get(list.at)));
}
