import { notifyAll } from '../../base/isolation.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { AnswerLimit } from '../client/answer-limits.ts';
import type { TotalBudget, Weighed } from './total-budget.ts';
import { weightOf } from '../objects/weight.ts';
import { keyOf, type KubeObject } from '../../api/kubernetes/resource.ts';

/** What adds up over the objects that are held of one peer. */
export const BUDGETS = [
  'bytes',
  'objects',
  'services',
  'ports',
  'metadata',
  'namespaces',
  'watches',
] as const;
export type BudgetName = (typeof BUDGETS)[number];

/** How much of each may be held of one peer: `bytes` and `metadata` in bytes, the rest in pieces. */
export type PeerLimits = Readonly<Record<BudgetName, number>>;

/** What one object costs beside its bytes and itself. */
export interface Cost {
  readonly services?: number;
  readonly ports?: number;
  /** Bytes of labels and annotations. */
  readonly metadata?: number;
  /** The namespace that it needs; each counts once. */
  readonly namespace?: string;
}

/** Why a peer is parked. */
export interface OverBudget {
  /** `total`: what all peers have together. */
  readonly budget: BudgetName | 'answer' | 'pages' | 'total';
  /** One line: what is over, by how much. */
  readonly message: string;
}

type Sums = Partial<Record<BudgetName, number>>;

/**
 * What one peer makes this process hold, against limits. Knows nothing of sockets or time: whoever takes
 * objects in asks before. Each collection that is held has a share; the sum over the shares counts.
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
  /** What was told last. */
  #told: OverBudget | undefined;

  /**
   * @param onOver told when the peer gets over a budget, once for each until it fits again
   * @param total what all peers may have together; until `close` this is one of them
   */
  constructor(limits: PeerLimits, onOver: (over: OverBudget) => void = () => undefined, total?: TotalBudget) {
    this.limits = limits;
    this.#onOver = onOver;
    this.#total = total;
    total?.join(this);
  }

  /** The peer has gone. */
  close(): void {
    this.#total?.leave(this);
  }

  /** A collection of objects. @param costOf what an object costs beside its bytes */
  share<T extends KubeObject>(costOf: (object: T) => Cost = () => ({})): BudgetShare<T> {
    const share = new BudgetShare<T>(this, costOf, () => this.#tell());
    this.#shares.add(share as unknown as BudgetShare<KubeObject>);
    return share;
  }

  /** What is held now. */
  used(budget: BudgetName): number {
    let sum = 0;
    if (budget === 'watches') {
      for (const { wanted } of this.#watches.values()) sum += wanted;
      return sum;
    }
    for (const share of this.#shares) sum += share.held(budget);
    return sum;
  }

  /** Why the peer is parked; undefined while everything fits. The first share that is over counts. */
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

  /** How many watches somebody has, and how many they would have if they fitted. */
  countWatches(who: object, open: number, wanted: number): void {
    const before = this.#watches.get(who)?.open ?? 0;
    this.#watches.set(who, { open, wanted });
    this.#tell();
    // Others are told after this turn: whoever has closed a watch may open another in its place at once.
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

  /** Forgets a share. */
  drop(share: BudgetShare<never>): void {
    this.#shares.delete(share as unknown as BudgetShare<KubeObject>);
    this.#tell();
  }

  /**
   * Whether a share may hold so much, beside what the others hold. What all may have together binds who takes
   * more than before only: when one more peer comes, nobody has to give anything up.
   * @param before bytes that the peer had
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
  /** What counts of it in the peer's bytes. */
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

  held(budget: BudgetName): number {
    return this.#held.sums[budget] ?? 0;
  }

  /** Begins to count a list, which will take the place of what is held. */
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

  release(previous: T | undefined): void {
    this.#change(previous, -1);
  }

  /** The list that was being read has failed: nothing of it is held. */
  givenUp(): void {
    this.#setListed(0);
  }

  /** Something of this collection does not fit; until its next complete list it is over. */
  exceeded(error: LinkspanError): void {
    this.#setListed(0);
    this.#over = overOf(error);
    this.#onChange();
  }

  /** Holds nothing any more and is not counted. */
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

/** Sums over objects. */
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
