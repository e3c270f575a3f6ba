import type { ConnectionCounts } from './connection-counters.ts';
import type { LatencyExample } from './exemplars.ts';
import type { GroupCounts } from './group-counters.ts';
import type { ResponseNumbers } from './histogram.ts';
import type { ObservedLatency } from './latency-histogram.ts';
import type { RouteCounts } from './route-counters.ts';

/** Stream mode: connections that are open now, and what has travelled on them. */
export interface StreamCounts {
  readonly connections: number;
  readonly requests: number;
  readonly tunnels: number;
}

/** What was counted of one target. */
export interface TargetView {
  readonly requests: number;
  readonly inFlight: number;
  /** By `responseKey`. */
  readonly responses: Iterable<readonly [string | number, ResponseNumbers]>;
  /** By kind. */
  readonly failures: Iterable<readonly [string, number]>;
  readonly latency: ObservedLatency;
  /** As of `TargetCounters`. */
  readonly waits: number;
  readonly waitedMs: number;
}

/** Numbers by their key, which may be read several times. Each is worked out when it is reached. */
export type Table<T> = Iterable<readonly [key: string, numbers: T]>;

/** A table of what stands in a map, as it is when it is read. */
export function tableOf<V, T>(map: ReadonlyMap<string, V>, read: (value: V) => T): Table<T> {
  return {
    *[Symbol.iterator]() {
      for (const [key, value] of map) yield [key, read(value)] as const;
    },
  };
}

/**
 * Everything that was counted, to be read once from its beginning to its end, which may take many turns of
 * the event loop: what is reached later is of later. Nothing is copied: copies of the numbers of thousands of
 * services live for as long as a scrape takes, which is long enough to make V8 collect its whole heap after
 * some dozens of them. Keys are those of `CountersSnapshot`.
 */
export interface CountersView {
  readonly targets: Table<TargetView>;
  readonly routes: Table<RouteCounts>;
  readonly groups: Table<GroupCounts>;
  readonly failures: Table<number>;
  readonly refused: Table<number>;
  readonly headers: Table<number>;
  readonly authorizations: Table<number>;
  readonly rateLimits: Table<number>;
  readonly faults: Table<number>;
  readonly client: ConnectionCounts;
  readonly shared: ConnectionCounts;
  readonly endpoints: Table<ConnectionCounts>;
  readonly streams: StreamCounts;
  readonly internalErrors: number;
  /** Requests that are recorded, as examples of latencies. */
  readonly examples: Iterable<LatencyExample>;
}
