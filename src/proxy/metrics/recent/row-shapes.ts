import type { FlowStats, GatewayStats, RouteStats, TargetStats } from '../../../api/answers/stats-report.ts';
import { OTHER } from '../connection-counters.ts';
import { ALL_BUCKETS, FIRST_BUCKET, type LatencySpan, spanOf } from '../latency-histogram.ts';
import type { EachField, FieldSums } from './packed-rows.ts';

/** The fields of a row: its plain numbers, the buckets of its latency, and what it counts by name. */
const TCP = 8;
const LATENCY_SUM = 15;
const LATENCY = 16;
const NAMED = LATENCY + ALL_BUCKETS;
/** Kinds of failures, error codes and the like: there are some fifty. Those beyond count as `other`. */
const MAX_NAMES = 256;
/** Kinds of names in one row. */
const KINDS = 2;

/** How many fields a row can have. */
export const FIELDS = NAMED + KINDS * MAX_NAMES;

/** Numbers for the names that rows count by. */
export class FieldNames {
  readonly #places = new Map([[OTHER, 0]]);

  /** @param kind 0 or 1 */
  field(name: string, kind: number): number {
    let place = this.#places.get(name);
    if (place === undefined) {
      place = this.#places.size < MAX_NAMES ? this.#places.size : 0;
      if (place !== 0) this.#places.set(name, place);
    }
    return NAMED + place * KINDS + kind;
  }

  /** What was counted by name. */
  read(sums: FieldSums, kind: number): Record<string, number> {
    const found: Record<string, number> = {};
    if (sums.highest < NAMED) return found;
    for (const [name, place] of this.#places) {
      const count = sums.get(NAMED + place * KINDS + kind);
      if (count > 0) found[name] = count;
    }
    return found;
  }
}

/** What the proxy itself has answered or ended, by kind. */
export function errorsOf(sums: FieldSums, names: FieldNames): Record<string, number> {
  return names.read(sums, 0);
}

/** How a kind of rows is made of numbers. Field 0 says which rows are the busiest. */
export interface RowShape<R> {
  key(row: R): string;
  /** All numbers of it that grow. */
  each(row: R, names: FieldNames): EachField;
  /** The row with the numbers of a window; what there is now stays. */
  windowed(row: R, sums: FieldSums, names: FieldNames): R;
  /** The row of all that have none of their own. */
  readonly other: R;
  /** Whether what a row had counted counts there when the row is forgotten. */
  readonly inherited?: boolean;
}

type Put = Parameters<EachField>[0];
type Counts = Readonly<Record<string, number>>;

const TARGET = ['requests', 'responses', 'failures', 'retries', 'timeouts', 'limited'] as const;
const CONNECTIONS = ['opened', 'readBytes', 'writtenBytes'] as const;
const FLOW = ['requests', 'failures', 'bytesIn', 'bytesOut'] as const;
const GATEWAY = ['requests', 'failures'] as const;
const ROUTE = ['requests', 'responses', 'failures', 'attempts', 'failedAttempts'] as const;
const NOTHING = { requests: 0, responses: 0, failures: 0 };
const NO_LATENCY = spanOf(new Float64Array(0), 0);

export const TARGET_ROWS: RowShape<TargetStats> = {
  key: ({ label }) => label,
  each: (row, names) => (put) => {
    eachPlain(row, TARGET, put);
    eachLatency(row.latency, put);
    eachNamed(row.errors, names, 0, put);
    if (row.tcp === undefined) return;
    eachPlain(row.tcp, CONNECTIONS, put, TCP);
    eachNamed(row.tcp.closes, names, 1, put);
  },
  windowed: (row, sums, names) => ({
    ...row,
    ...readPlain(row, TARGET, sums),
    errors: names.read(sums, 0),
    latency: readLatency(sums),
    ...(row.tcp && {
      tcp: { ...row.tcp, ...readPlain(row.tcp, CONNECTIONS, sums, TCP), closes: names.read(sums, 1) },
    }),
  }),
  other: {
    ...NOTHING,
    label: OTHER,
    service: OTHER,
    namespace: '',
    port: '',
    inFlight: 0,
    errors: {},
    latency: NO_LATENCY,
  },
};

export const FLOW_ROWS: RowShape<FlowStats> = {
  key: ({ peer, from, target }) => `${peer}\t${target}\t${from?.cluster ?? ''}`,
  each: (row, names) => (put) => {
    eachPlain(row, FLOW, put);
    eachNamed(row.errors, names, 0, put);
  },
  windowed: (row, sums, names) => ({
    ...row,
    ...readPlain(row, FLOW, sums),
    errors: names.read(sums, 0),
  }),
  other: {
    peer: OTHER,
    target: OTHER,
    requests: 0,
    inFlight: 0,
    failures: 0,
    errors: {},
    bytesIn: 0,
    bytesOut: 0,
    idleMs: 0,
  },
  inherited: true,
};

export const GATEWAY_ROWS: RowShape<GatewayStats> = {
  key: ({ cluster, address }) => `${cluster}\t${address}`,
  each: (row) => (put) => eachPlain(row, GATEWAY, put),
  windowed: (row, sums) => ({ ...row, ...readPlain(row, GATEWAY, sums) }),
  other: { cluster: OTHER, address: OTHER, state: 'unknown', streams: 0, requests: 0, failures: 0 },
};

export const ROUTE_ROWS: RowShape<RouteStats> = {
  key: ({ target, route }) => `${target}\t${route}`,
  each: (row, names) => (put) => {
    eachPlain(row, ROUTE, put);
    eachLatency(row.latency, put);
    eachNamed(row.retries, names, 0, put);
    eachNamed(row.timeouts, names, 1, put);
  },
  windowed: (row, sums, names) => ({
    ...row,
    ...readPlain(row, ROUTE, sums),
    retries: names.read(sums, 0),
    timeouts: names.read(sums, 1),
    latency: readLatency(sums),
  }),
  other: {
    ...NOTHING,
    target: OTHER,
    route: '',
    attempts: 0,
    failedAttempts: 0,
    retries: {},
    timeouts: {},
    latency: NO_LATENCY,
  },
};

// Loops by number below: these are called for tens of thousands of rows at a time.

function eachPlain<K extends string>(
  row: Readonly<Partial<Record<K, number | undefined>>>,
  keys: readonly K[],
  put: Put,
  first = 0,
): void {
  for (let at = 0; at < keys.length; at++) {
    const value = row[keys[at] as K];
    if (value !== undefined && value > 0) put(first + at, value);
  }
}

/** The same numbers of a window; those that the row has. */
function readPlain<K extends string>(
  row: Readonly<Partial<Record<K, number | undefined>>>,
  keys: readonly K[],
  sums: FieldSums,
  first = 0,
): Partial<Record<K, number>> {
  const found: Partial<Record<K, number>> = {};
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at] as K;
    if (row[key] !== undefined) found[key] = sums.get(first + at);
  }
  return found;
}

function eachNamed(counts: Counts, names: FieldNames, kind: number, put: Put): void {
  for (const name in counts) {
    const count = counts[name] ?? 0;
    if (count > 0) put(names.field(name, kind), count);
  }
}

function eachLatency({ sumMs, offset, counts }: LatencySpan, put: Put): void {
  if (counts.length === 0) return;
  // In whole numbers: microseconds.
  put(LATENCY_SUM, Math.round(sumMs * 1000));
  const first = LATENCY + offset - FIRST_BUCKET;
  for (let at = 0; at < counts.length; at++) {
    const count = counts[at] ?? 0;
    if (count > 0) put(first + at, count);
  }
}

/** How many were observed in each bucket, from the first one on. */
export function latencyOf(sums: FieldSums): Float64Array {
  return sums.part(LATENCY, NAMED);
}

function readLatency(sums: FieldSums): LatencySpan {
  return spanOf(latencyOf(sums), sums.get(LATENCY_SUM) / 1000);
}
