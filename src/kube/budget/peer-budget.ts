import { notifyAll } from '../../base/isolation.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { AnswerLimit } from '../client/answer-limits.ts';
import type { TotalBudget, Weighed } from './total-budget.ts';
import { weightOf } from '../objects/weight.ts';
import { keyOf, type KubeObject } from '../../api/kubernetes/resource.ts';

/** What is limited of one peer: each adds up over all objects that are held of it. */
export const BUDGETS = [
  'bytes',
  'objects',
  'services',
  'ports',
  'metadata',
  'namespaces',
  'watches',
] as const;
/** One of `BUDGETS`. */
export type BudgetName = (typeof BUDGETS)[number];

/** How much of each may be held of one peer: `bytes` and `metadata` in bytes, the rest in pieces. */
export type PeerLimits = Readonly<Record<BudgetName, number>>;

/** What one object counts for beside `objects` (one) and `bytes` (its weight), which every object does. */
export interface Cost {
  readonly services?: number;
  readonly ports?: number;
  /** Bytes of labels and annotations. */
  readonly metadata?: number;
  /** The namespace that it needs here; however many objects need it, it counts once. */
  readonly namespace?: string;
}

/** Why a peer is parked: nothing more of what does not fit is taken in, and nothing is removed. */
export interface OverBudget {
  /**
   * `answer`: one answer was too large or too slow; `pages`: a list had no end; `total`: see `TotalBudget`.
   */
  readonly budget: BudgetName | 'answer' | 'pages' | 'total';
  /** One line: what is over, by how much. */
  readonly message: string;
}

type Sums = Partial<Record<BudgetName, number>>;

/**
 * What one peer makes this process hold, compared with limits. It knows nothing of sockets or time: whoever
 * takes objects in asks it before. Each collection that is held has a share, and the sum of the shares is
 * what is limited.
 */
export class PeerBudget implements Weighed {
  readonly limits: PeerLimits;
  bytes = 0;
  readonly #total: TotalBudget | undefined;
  readonly #shares = new Set<BudgetShare<KubeObject>>();
  readonly #watches = new Map<object, { readonly open: number; readonly wanted: number }>();
  readonly #onRoom = new Set<() => void>();
  readonly #onChange = new Set<() => void>();
  readonly #onOver: (over: OverBudget) => void;
  /** The `over` that listeners were told last. */
  #told: OverBudget | undefined;

  /**
   * @param onOver called when the peer gets over a budget, and when it is over another one than before
   * @param total what all peers may have together; this peer counts there until `close`
   */
  constructor(limits: PeerLimits, onOver: (over: OverBudget) => void = () => undefined, total?: TotalBudget) {
    this.limits = limits;
    this.#onOver = onOver;
    this.#total = total;
    total?.join(this);
  }

  /** The peer has gone and no longer counts in the total. */
  close(): void {
    this.#total?.leave(this);
  }

  /** A share for one more collection of objects. @param costOf as `Cost`; default: nothing more */
  share<T extends KubeObject>(costOf: (object: T) => Cost = () => ({})): BudgetShare<T> {
    const share = new BudgetShare<T>(this, costOf, () => this.#tell());
    this.#shares.add(share as unknown as BudgetShare<KubeObject>);
    return share;
  }

  /** How much is held now; of `watches` those that are wanted, whether they are open or wait for room. */
  used(budget: BudgetName): number {
    let sum = 0;
    if (budget === 'watches') {
      for (const { wanted } of this.#watches.values()) sum += wanted;
      return sum;
    }
    for (const share of this.#shares) sum += share.held(budget);
    return sum;
  }

  /** Why the peer is parked; undefined while everything fits. Of several shares the first that is over. */
  get over(): OverBudget | undefined {
    for (const share of this.#shares) if (share.over !== undefined) return share.over;
    const watches = this.used('watches');
    return watches > this.limits.watches ? overBudget('watches', watches, this.limits.watches) : undefined;
  }

  /** Whether one more watch may be opened. */
  get watchFits(): boolean {
    let open = 0;
    for (const counted of this.#watches.values()) open += counted.open;
    return open < this.limits.watches;
  }

  /**
   * Says how many watches somebody has.
   * @param who any object that stands for them; counted anew with each call
   * @param wanted how many they would have if all fitted
   */
  countWatches(who: object, open: number, wanted: number): void {
    const before = this.#watches.get(who)?.open ?? 0;
    this.#watches.set(who, { open, wanted });
    this.#tell();
    // Others are told in a later microtask: whoever has closed a watch may open another in its place first.
    if (open < before) queueMicrotask(() => this.#tellRoom());
  }

  /** Calls `listener` when there is room for a watch again. @returns what ends that */
  whenWatchFits(listener: () => void): () => void {
    this.#onRoom.add(listener);
    return () => this.#onRoom.delete(listener);
  }

  /** Calls `listener` whenever `over` says something else. @returns what ends that */
  whenOverChanges(listener: () => void): () => void {
    this.#onChange.add(listener);
    return () => this.#onChange.delete(listener);
  }

  #tellRoom(): void {
    for (const listener of this.#onRoom) if (this.watchFits) listener();
  }

  #tell(): void {
    const { over } = this;
    const told = this.#told;
    if (over?.message === told?.message && over?.budget === told?.budget) return;
    this.#told = over;
    if (over !== undefined && over.budget !== told?.budget) this.#onOver(over);
    notifyAll('listeners of a budget', this.#onChange);
  }

  /** A share is given up; its objects no longer count. */
  drop(share: BudgetShare<never>): void {
    this.#shares.delete(share as unknown as BudgetShare<KubeObject>);
    this.#tell();
  }

  /**
   * Whether a share may hold so much, beside what the others hold. The total is asked only where the peer has
   * more bytes than before: when one more peer comes, nobody has to give anything up.
   * @param sums what the share holds, with the change that is in question
   * @param before bytes that the peer had without that change
   * @throws LinkspanError PEER_OVER_BUDGET
   */
  check(share: object, sums: Sums, before: number): void {
    for (const budget of BUDGETS) {
      const own = sums[budget];
      if (own === undefined || own === 0) continue;
      let used = own;
      for (const other of this.#shares) if (other !== share) used += other.held(budget);
      if (used > this.limits[budget]) throw peerOver(overBudget(budget, used, this.limits[budget]));
    }
    if (this.bytes > before) this.#total?.check(this);
  }
}

/** What one collection holds of a peer's budget. */
export class BudgetShare<T extends KubeObject> {
  readonly #budget: PeerBudget;
  readonly #costOf: (object: T) => Cost;
  readonly #onChange: () => void;
  #held = new Held();
  /**
   * Bytes of the list that is being read. Most of its objects are those that are held, so the larger of the
   * two counts.
   */
  #listed = 0;
  /** How many bytes of the peer's sum are this share's: the larger of the two. */
  #counted = 0;
  #over: OverBudget | undefined;

  constructor(budget: PeerBudget, costOf: (object: T) => Cost, onChange: () => void) {
    this.#budget = budget;
    this.#costOf = costOf;
    this.#onChange = onChange;
  }

  /** Why nothing more of this collection is taken in. */
  get over(): OverBudget | undefined {
    return this.#over;
  }

  /** How much of a budget this collection takes. */
  held(budget: BudgetName): number {
    return this.#held.sums[budget] ?? 0;
  }

  /**
   * Begins to count a list, which takes the place of what is held when it is `done`. `add` throws
   * PEER_OVER_BUDGET for the first object that does not fit; then comes `exceeded`, and after any other
   * failure `givenUp`.
   */
  list(): { add(object: T): void; done(): void } {
    const held = new Held();
    this.#setListed(0);
    return {
      add: (object) => {
        const { bytes } = this.#budget;
        held.add(object, this.#costOf(object), 1);
        this.#setListed(held.sums.bytes ?? 0);
        this.#budget.check(this, held.sums, bytes);
      },
      done: () => {
        this.#held = held;
        this.#setListed(0);
        this.#over = undefined;
        this.#onChange();
      },
    };
  }

  /**
   * Takes one object in.
   * @param previous what it takes the place of
   * @throws LinkspanError PEER_OVER_BUDGET: then nothing has changed
   */
  admit(object: T, previous: T | undefined): void {
    const { bytes } = this.#budget;
    const replaces = this.#change(previous, -1);
    this.#change(object, 1);
    try {
      this.#budget.check(this, this.#held.sums, bytes);
    } catch (error) {
      this.#change(object, -1);
      if (replaces) this.#change(previous, 1);
      throw error;
    }
  }

  /** An object is gone. */
  release(previous: T | undefined): void {
    this.#change(previous, -1);
  }

  /** The list that was being read has failed: nothing of it is held. */
  givenUp(): void {
    this.#setListed(0);
  }

  /**
   * Something of this collection does not fit; it counts as over until its next complete list.
   * @param error PEER_OVER_BUDGET, KUBE_ANSWER_TOO_LARGE or KUBE_ANSWER_TOO_SLOW
   */
  exceeded(error: LinkspanError): void {
    this.#setListed(0);
    this.#over = overOf(error);
    this.#onChange();
  }

  /** The collection is no longer held. */
  close(): void {
    this.#held = new Held();
    this.#setListed(0);
    this.#over = undefined;
    this.#budget.drop(this as unknown as BudgetShare<never>);
  }

  #change(object: T | undefined, sign: 1 | -1): boolean {
    if (object === undefined) return false;
    this.#held.add(object, this.#costOf(object), sign);
    this.#count();
    return true;
  }

  #setListed(bytes: number): void {
    this.#listed = bytes;
    this.#count();
  }

  #count(): void {
    const bytes = Math.max(this.held('bytes'), this.#listed);
    this.#budget.bytes += bytes - this.#counted;
    this.#counted = bytes;
  }
}

/** Sums over the objects of one collection. */
class Held {
  readonly sums: Sums = {};
  readonly #namespaces = new Map<string, number>();

  add(object: KubeObject, cost: Cost, sign: 1 | -1): void {
    this.#sum('bytes', sign * (weightOf(object) + keyOf(object).length));
    this.#sum('objects', sign);
    this.#sum('services', sign * (cost.services ?? 0));
    this.#sum('ports', sign * (cost.ports ?? 0));
    this.#sum('metadata', sign * (cost.metadata ?? 0));
    if (cost.namespace === undefined) return;
    const users = (this.#namespaces.get(cost.namespace) ?? 0) + sign;
    if (users > 0) this.#namespaces.set(cost.namespace, users);
    else this.#namespaces.delete(cost.namespace);
    this.sums.namespaces = this.#namespaces.size;
  }

  #sum(budget: BudgetName, amount: number): void {
    this.sums[budget] = (this.sums[budget] ?? 0) + amount;
  }
}

const UNITS: Readonly<Record<BudgetName, string>> = {
  bytes: 'bytes of memory',
  objects: 'objects',
  services: 'Services',
  ports: 'ports of Services',
  metadata: 'bytes of labels and annotations',
  namespaces: 'namespaces',
  watches: 'watches of single Services',
};

function overBudget(budget: BudgetName, used: number, limit: number): OverBudget {
  return {
    budget,
    message: `${used} ${UNITS[budget]} or more, ${limit} are allowed (--max-peer-${flagOf(budget)})`,
  };
}

function flagOf(budget: BudgetName): string {
  return budget === 'bytes' ? 'memory' : budget;
}

function peerOver(over: OverBudget): LinkspanError {
  return new LinkspanError('PEER_OVER_BUDGET', over.message, { fields: { budget: over.budget } });
}

/** What an error says of a budget: PEER_OVER_BUDGET, KUBE_ANSWER_TOO_LARGE or KUBE_ANSWER_TOO_SLOW. */
function overOf(error: LinkspanError): OverBudget {
  const { budget } = error.fields;
  if (typeof budget === 'string') return { budget: budget as OverBudget['budget'], message: error.message };
  const limit = error.fields['limit'] as AnswerLimit | undefined;
  return { budget: limit === 'pages' ? 'pages' : 'answer', message: error.message };
}
