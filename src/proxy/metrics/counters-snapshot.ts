import { type ConnectionCounts, NO_CONNECTIONS } from './connection-counters.ts';
import {
  type CountersView,
  type StreamCounts,
  type Table,
  tableOf,
  type TargetView,
} from './counters-view.ts';
import { addExamples, type LatencyExample } from './exemplars.ts';
import type { GroupCounts } from './group-counters.ts';
import type { ResponseNumbers } from './histogram.ts';
import { type LatencyNumbers, observedLatency } from './latency-histogram.ts';
import type { RouteCounts } from './route-counters.ts';

/** What was counted of one target, as plain JSON. */
export interface TargetNumbers {
  readonly requests: number;
  readonly inFlight: number;
  /** By `responseKey`. */
  readonly responses: Readonly<Record<string, ResponseNumbers>>;
  /** By kind. */
  readonly failures: Readonly<Record<string, number>>;
  readonly latency: LatencyNumbers;
  /** As of `TargetCounters`. */
  readonly waits: number;
  readonly waitedMs: number;
}

/**
 * Everything that was counted, as plain JSON, which worker processes send to their parent. All numbers only
 * grow, until their service is forgotten; but `open`, `inFlight` and `streams.connections` are how many there
 * are now.
 */
export interface CountersSnapshot {
  /** By `name:port` of the service. */
  readonly targets: Readonly<Record<string, TargetNumbers>>;
  /** By target and route; of targets with retries or timeouts. */
  readonly routes: Readonly<Record<string, RouteCounts>>;
  /** By target; only of targets that are groups. */
  readonly groups: Readonly<Record<string, GroupCounts>>;
  /** By layer and kind. */
  readonly failures: Readonly<Record<string, number>>;
  /** Connections refused before a service was known, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** By protocol, name, port and client. */
  readonly headers: Readonly<Record<string, number>>;
  /** By layer, `allow` or `deny`, client and policy. */
  readonly authorizations: Readonly<Record<string, number>>;
  /** Requests over a limit, by service, policy and scope. */
  readonly rateLimits: Readonly<Record<string, number>>;
  /** Injected faults, by service and kind. */
  readonly faults: Readonly<Record<string, number>>;
  /** Connections of clients. */
  readonly client: ConnectionCounts;
  /** Connections that are not for one service: those of an egress to gateways, which its flows share. */
  readonly shared: ConnectionCounts;
  /** Connections to endpoints by `name:port`. */
  readonly endpoints: Readonly<Record<string, ConnectionCounts>>;
  readonly streams: StreamCounts;
  /** Exceptions that nobody foresaw. */
  readonly internalErrors: number;
  /** Requests that are recorded, as examples of latencies. */
  readonly examples: readonly LatencyExample[];
}

/** Nothing counted yet. */
export const EMPTY_SNAPSHOT: CountersSnapshot = {
  targets: {},
  routes: {},
  groups: {},
  failures: {},
  refused: {},
  headers: {},
  authorizations: {},
  rateLimits: {},
  faults: {},
  client: NO_CONNECTIONS,
  shared: NO_CONNECTIONS,
  endpoints: {},
  streams: { connections: 0, requests: 0, tunnels: 0 },
  internalErrors: 0,
  examples: [],
};

/** What is counted at the moment. */
export function snapshotOf(view: CountersView): CountersSnapshot {
  const plain = <T>(table: Table<T>) => Object.fromEntries(table);
  const numbers = ({ responses, failures, latency, ...target }: TargetView): TargetNumbers => ({
    requests: target.requests,
    inFlight: target.inFlight,
    waits: target.waits,
    waitedMs: target.waitedMs,
    responses: Object.fromEntries(responses),
    failures: Object.fromEntries(failures),
    latency: latency.numbers,
  });
  const targets = Iterator.from(view.targets).map(([label, target]) => [label, numbers(target)] as const);
  return {
    ...view,
    targets: Object.fromEntries(targets),
    routes: plain(view.routes),
    groups: plain(view.groups),
    failures: plain(view.failures),
    refused: plain(view.refused),
    headers: plain(view.headers),
    authorizations: plain(view.authorizations),
    rateLimits: plain(view.rateLimits),
    faults: plain(view.faults),
    endpoints: plain(view.endpoints),
    examples: [...view.examples],
  };
}

/** A snapshot, to be read as a view. */
export function viewOf(snapshot: CountersSnapshot): CountersView {
  const { targets, routes, groups, failures, refused, headers, authorizations, rateLimits, faults } =
    snapshot;
  const targetView = (target: TargetNumbers): TargetView => ({
    ...target,
    responses: Object.entries(target.responses),
    failures: Object.entries(target.failures),
    latency: observedLatency(target.latency),
  });
  return {
    ...snapshot,
    targets: tableOf(new Map(Object.entries(targets)), targetView),
    routes: Object.entries(routes),
    groups: Object.entries(groups),
    failures: Object.entries(failures),
    refused: Object.entries(refused),
    headers: Object.entries(headers),
    authorizations: Object.entries(authorizations),
    rateLimits: Object.entries(rateLimits),
    faults: Object.entries(faults),
    endpoints: Object.entries(snapshot.endpoints),
  };
}

/** The sum of two processes' numbers. */
export function addSnapshots(a: CountersSnapshot, b: CountersSnapshot): CountersSnapshot {
  const { examples: left, ...one } = a;
  const { examples: right, ...other } = b;
  const numbers = sum(one as unknown as Tree, other as unknown as Tree) as unknown as typeof one;
  return { ...numbers, examples: addExamples(left, right) };
}

/** The numbers of a process that has ended: what it has carried still counts, what it had open is closed. */
export function endedSnapshot(snapshot: CountersSnapshot): CountersSnapshot {
  const ended = (numbers: ConnectionCounts): ConnectionCounts => ({ ...numbers, open: 0 });
  return {
    ...snapshot,
    targets: Object.fromEntries(
      Object.entries(snapshot.targets).map(([label, target]) => [label, { ...target, inFlight: 0 }]),
    ),
    client: ended(snapshot.client),
    shared: ended(snapshot.shared),
    endpoints: Object.fromEntries(
      Object.entries(snapshot.endpoints).map(([label, numbers]) => [label, ended(numbers)]),
    ),
    streams: { ...snapshot.streams, connections: 0 },
  };
}

type Tree = number | readonly Tree[] | { readonly [key: string]: Tree };

/** Adds numbers that stand at the same place of two trees; what only one of them has is taken as it is. */
function sum(a: Tree | undefined, b: Tree | undefined): Tree {
  if (a === undefined) return b ?? 0;
  if (b === undefined) return a;
  if (typeof a === 'number' || typeof b === 'number') return Number(a) + Number(b);
  if (Array.isArray(a) || Array.isArray(b)) {
    const [left, right] = [a as readonly Tree[], b as readonly Tree[]];
    return Array.from({ length: Math.max(left.length, right.length) }, (_, at) => sum(left[at], right[at]));
  }
  const [left, right] = [a as Record<string, Tree>, b as Record<string, Tree>];
  const all: Record<string, Tree> = { ...left };
  for (const [key, value] of Object.entries(right)) all[key] = sum(left[key], value);
  return all;
}
