import type { FailoverBook } from '../failover/failover-book.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import type { WeightedKind, WeightedObject } from '../../policy/weights/weighted-object.ts';
import type { WeightsVerdict } from './weights-verdict.ts';

/** Most lists of backends that metrics are about: each backend of each is three series. */
const MAX_NOTED = 1000;

/**
 * Enters what is decided about objects with weights into the book that metrics are made of, beside federated
 * Services: `TrafficSplit shop/web`, `HTTPRoute shop/web rule 2`.
 */
export class WeightsBook {
  readonly #book: Pick<FailoverBook, 'note' | 'release'>;
  /** Names by id of the object. */
  readonly #noted = new Map<string, readonly string[]>();
  #count = 0;

  constructor(book: Pick<FailoverBook, 'note' | 'release'>) {
    this.#book = book;
  }

  note(id: string, { kind, field }: WeightedKind, object: WeightedObject, verdict: WeightsVerdict): void {
    const wanted = verdict.action === 'write' ? verdict.wanted : [];
    const name = `${kind} ${keyOf(object)}`;
    const decisions = new Map(
      wanted.map(({ list, decision }) => [
        field === 'rules' ? `${name} rule ${list.at + 1}` : name,
        decision,
      ]),
    );
    this.#forget(id, decisions);
    if (this.#count + decisions.size > MAX_NOTED || decisions.size === 0) return;
    for (const [one, decision] of decisions) this.#book.note(this, one, decision);
    this.#noted.set(id, [...decisions.keys()]);
    this.#count += decisions.size;
  }

  /** The object is gone, or nobody manages it. */
  forget(id: string): void {
    this.#forget(id, new Map());
  }

  /** Another replica decides. */
  close(): void {
    this.#book.release(this);
  }

  /** @param stays what is noted anew at once, so that changes of state are counted */
  #forget(id: string, stays: ReadonlyMap<string, unknown>): void {
    const before = this.#noted.get(id) ?? [];
    this.#noted.delete(id);
    this.#count -= before.length;
    for (const one of before) if (!stays.has(one)) this.#book.note(this, one, undefined);
  }
}
