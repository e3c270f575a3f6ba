import type { V1ObjectReference } from '@kubernetes/client-node';
import type { EventRecorder } from '../../kube/events/event-recorder.ts';
import type { Resource } from '../../api/kubernetes/resource.ts';
import { type FailoverCondition, failoverNews } from '../../policy/failover/failover-conditions.ts';
import type { WeightedObject } from '../../policy/weights/weighted-object.ts';
import type { WeightsVerdict } from './weights-verdict.ts';

export interface WeightsNewsOptions {
  readonly events: Pick<EventRecorder, 'record'>;
}

/** What was told of one object last. */
interface Told {
  /** By list and type. */
  readonly conditions: ReadonlyMap<number, ReadonlyMap<string, FailoverCondition>>;
  /** Why it is left to another; undefined: it is not. */
  readonly left: string | undefined;
  /** Why no weight of it is managed, though somebody asked for it; undefined: some are. */
  readonly idle: string | undefined;
}

/**
 * Tells of an object whose weights are managed, by Events on it: each thing when it begins. These kinds have
 * no status of ours, so that whoever begins a term takes what it finds for known.
 */
export class WeightsNews {
  readonly #events: WeightsNewsOptions['events'];
  readonly #told = new Map<string, Told>();

  constructor({ events }: WeightsNewsOptions) {
    this.#events = events;
  }

  /** @param id of the object; @param resource its kind, as it is served */
  tell(
    id: string,
    { group, version, kind }: Pick<Resource<WeightedObject>, 'group' | 'version' | 'kind'>,
    object: WeightedObject,
    verdict: WeightsVerdict,
  ): void {
    const before = this.#told.get(id);
    const after = toldOf(verdict);
    this.#told.set(id, after);
    const regarding = { apiVersion: `${group}/${version}`, kind, ...identityOf(object) };
    if (after.left !== undefined && before?.left !== after.left)
      this.#events.record({ regarding, type: 'Warning', reason: 'OtherController', message: after.left });
    if (after.idle !== undefined && before?.idle !== after.idle)
      this.#events.record({ regarding, type: 'Warning', reason: 'AnnotationInvalid', message: after.idle });
    for (const [at, conditions] of after.conditions) {
      const rule = after.conditions.size > 1 ? `rule ${at + 1}: ` : '';
      const was = before === undefined ? withoutSlips(conditions) : (before.conditions.get(at) ?? new Map());
      for (const { type, reason, message } of failoverNews(was, [...conditions.values()]))
        this.#events.record({ regarding, type, reason, message: rule + message });
    }
  }

  /** The object is gone, or nobody manages it. */
  forget(id: string): void {
    this.#told.delete(id);
  }
}

/** Longest message; an Event takes 1024 bytes. */
const MAX_MESSAGE = 900;

function toldOf(verdict: WeightsVerdict): Told {
  const lists = verdict.action === 'write' ? verdict.wanted : [];
  const conditions = lists.map(
    ({ list, conditions: own }) => [list.at, new Map(own.map((one) => [one.type, one]))] as const,
  );
  const left = verdict.action === 'leave' && verdict.reason !== undefined ? verdict.message : undefined;
  const problems = verdict.action === 'write' && lists.length === 0 ? verdict.problems : [];
  const idle = problems.length === 0 ? undefined : `no weights are written: ${problems.join('; ')}`;
  return { conditions: new Map(conditions), left, idle: idle?.slice(0, MAX_MESSAGE) };
}

function identityOf({ metadata }: WeightedObject): Pick<V1ObjectReference, 'namespace' | 'name' | 'uid'> {
  const { namespace = '', name = '', uid } = metadata ?? {};
  return { namespace, name, ...(uid === undefined ? {} : { uid }) };
}

/** A slip of an author is told again by whoever begins a term: nothing on the object says that it was. */
function withoutSlips(conditions: ReadonlyMap<string, FailoverCondition>): Map<string, FailoverCondition> {
  return new Map([...conditions].filter(([, { reason }]) => reason !== 'AnnotationInvalid'));
}
