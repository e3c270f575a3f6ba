import type { Clock } from '../../base/clock.ts';

/**
 * Why a request or raw connection was sent to another backend of its group. `connect`: the first could not be
 * connected to; `refused`: it refused the request unprocessed; `no_endpoints`: it had no endpoint; `retry`:
 * its connection was lost, and the request is idempotent.
 */
export const MOVE_REASONS = ['connect', 'refused', 'no_endpoints', 'retry'] as const;
export type MoveReason = (typeof MOVE_REASONS)[number];

/** How many requests and raw connections one backend of a group had, by their outcome. */
export interface BackendCounts {
  /** The backend has answered the request, or taken the raw connection. */
  served: number;
  /** The client got a failure. */
  failed: number;
  /** It was sent to another backend. */
  moved: number;
}

/**
 * Upper bounds of the buckets of `GroupCounts.firstSuccess`, seconds: from one round trip to the failfast
 * time and beyond.
 */
export const FIRST_SUCCESS_BUCKETS: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** How long failovers took, seconds. */
export interface FailoverTimes {
  /**
   * How many lie in each bucket of `FIRST_SUCCESS_BUCKETS`, not cumulative; the last one is for those above
   * all bounds.
   */
  readonly buckets: readonly number[];
  readonly sum: number;
}

/** The counts of one group, as plain JSON. All numbers only grow. */
export interface GroupCounts {
  /** By name of the backend. */
  readonly backends: Readonly<Record<string, Readonly<BackendCounts>>>;
  readonly moved: Readonly<Record<MoveReason, number>>;
  /**
   * The times from the first request that was taken away from a backend to the first answer of another one,
   * by the reason of that first move; reasons that there were none of are missing.
   */
  readonly firstSuccess: Readonly<Partial<Record<MoveReason, FailoverTimes>>>;
}

/** Why something was first taken away from a backend, and when (monotonic milliseconds). */
interface Left {
  readonly why: MoveReason;
  readonly at: number;
}

interface NamedCounts extends BackendCounts {
  readonly name: string;
}

/** Counts the requests and raw connections of one group. */
export class GroupCounters {
  readonly moved: Record<MoveReason, number> = { connect: 0, refused: 0, no_endpoints: 0, retry: 0 };
  /** Requests and raw connections that no backend took. */
  refused = 0;
  /** Those that no backend takes, and that wait to be tried again now. */
  pending = 0;
  /** Few, so that a map would be larger than what it holds. */
  #backends: readonly NamedCounts[] = [];
  /** Backends that something was taken away from, while no other one has answered since. */
  #left: Map<string, Left> | undefined;
  #firstSuccess: Map<MoveReason, { buckets: number[]; sum: number }> | undefined;

  /** The counts of a backend, for the caller to keep and add to. */
  backend(name: string): BackendCounts {
    for (const known of this.#backends) if (known.name === name) return known;
    const counts = { name, served: 0, failed: 0, moved: 0 };
    // Not by a spread, which leaves room for 16 more.
    this.#backends = this.#backends.concat(counts);
    return counts;
  }

  /**
   * A request or raw connection was taken away from a backend, for another one.
   * @param now monotonic milliseconds
   */
  left(backend: string, why: MoveReason, now: number): void {
    this.backend(backend).moved++;
    this.moved[why]++;
    this.#left ??= new Map();
    if (!this.#left.has(backend)) this.#left.set(backend, { why, at: now });
  }

  /** A backend has answered a request, or taken a raw connection. Looks at the clock after a move only. */
  answered(backend: string, clock: Pick<Clock, 'monotonic'>): void {
    if (this.#left !== undefined) this.#failedOver(this.#left, backend, clock.monotonic());
  }

  get numbers(): GroupCounts {
    const backends = Object.fromEntries(
      this.#backends.map(({ name, served, failed, moved }) => [name, { served, failed, moved }]),
    );
    const times = [...(this.#firstSuccess ?? [])].map(
      ([why, { buckets, sum }]) => [why, { buckets: [...buckets], sum }] as const,
    );
    return { backends, moved: { ...this.moved }, firstSuccess: Object.fromEntries(times) };
  }

  /** The others are failed over; a backend that answers itself was not, or is back. */
  #failedOver(left: ReadonlyMap<string, Left>, to: string, now: number): void {
    for (const [name, { why, at }] of left) if (name !== to) this.#observe(why, (now - at) / 1000);
    this.#left = undefined;
  }

  #observe(why: MoveReason, seconds: number): void {
    this.#firstSuccess ??= new Map();
    let times = this.#firstSuccess.get(why);
    if (times === undefined) {
      const buckets = Array.from({ length: FIRST_SUCCESS_BUCKETS.length + 1 }, () => 0);
      this.#firstSuccess.set(why, (times = { buckets, sum: 0 }));
    }
    const found = FIRST_SUCCESS_BUCKETS.findIndex((bound) => seconds <= bound);
    const at = found < 0 ? FIRST_SUCCESS_BUCKETS.length : found;
    times.buckets[at] = (times.buckets[at] ?? 0) + 1;
    times.sum += seconds;
  }
}
