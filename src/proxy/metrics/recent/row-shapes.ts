import {
  COUNTED,
  type CountedRows,
  type GrowingFields,
  TCP_COUNTS,
} from '../../../api/answers/stats-counters.ts';
import type { FlowStats, GatewayStats, RouteStats, TargetStats } from '../../../api/answers/stats-report.ts';
import { OTHER } from '../connection-counters.ts';
import {
  ALL_BUCKETS,
  FIRST_BUCKET,
  LATENCY_SCHEMA,
  type LatencySpan,
  NO_SPAN,
} from '../latency-histogram.ts';
import type { EachField, FieldSums } from './packed-rows.ts';

/**
 * The fields of a row: its plain numbers, those of its connections, the buckets of its latency, and what it
 * counts by name.
 */
const TCP = COUNTED.targets.plain.length;
const LATENCY_SUM = TCP + TCP_COUNTS.plain.length;
const LATENCY = LATENCY_SUM + 1;
const NAMED = LATENCY + ALL_BUCKETS;
/** Kinds of failures, error codes and the like: there are some fifty. Those beyond count as `other`. */
const MAX_NAMES = 256;
/** Kinds of names in one row; those of its connections are the last one. */
const KINDS = 2;
const TCP_KIND = 1;

/** How many fields a row can have. */
export const FIELDS = NAMED + KINDS * MAX_NAMES;

type Counts = Record<string, number>;
const NO_COUNTS: Counts = {};

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
  read(sums: FieldSums, kind: number): Counts {
    if (sums.highest < NAMED) return NO_COUNTS;
    const found: Record<string, number> = {};
    for (const [name, place] of this.#places) {
      const count = sums.get(NAMED + place * KINDS + kind);
      if (count > 0) found[name] = count;
    }
    return found;
  }
}

/** What the proxy itself has answered or ended, by kind. */
export function errorsOf(sums: FieldSums, names: FieldNames): Counts {
  return names.read(sums, 0);
}

/** How a kind of rows is made of numbers. Field 0 says which rows are the busiest. */
export interface RowShape<R> {
  key(row: R): string;
  /** All numbers of it that grow and are not 0. */
  each(row: R, names: FieldNames, put: Put): void;
  /** Gives the row itself the numbers of a window; what there is now stays. */
  setWindow(row: R, sums: FieldSums, names: FieldNames): void;
  /** The row of all that have none of their own. */
  readonly other: R;
  /** Whether what a row had counted counts there when the row is forgotten. */
  readonly inherited?: boolean;
}

type Put = Parameters<EachField>[0];

/** What rows of every kind have, and what those of some have. */
interface Counting {
  readonly requests: number;
  latency?: LatencySpan;
  tcp?: TargetStats['tcp'];
}

function shapeOf<R extends Counting>(of: CountedRows<R>, other: R, inherited = false): RowShape<R> {
  return {
    key: of.key,
    other,
    inherited,
    each: (row, names, put) => {
      eachGrowing(of, row, { names, put, first: 0, kind: 0 });
      if (row.latency !== undefined) eachLatency(row.latency, put);
      if (row.tcp !== undefined) eachGrowing(TCP_COUNTS, row.tcp, { names, put, first: TCP, kind: TCP_KIND });
    },
    setWindow: (row, sums, names) => {
      readGrowing(of, row, { names, sums, first: 0, kind: 0 });
      if (row.latency !== undefined) row.latency = readLatency(sums);
      if (row.tcp !== undefined)
        readGrowing(TCP_COUNTS, row.tcp, { names, sums, first: TCP, kind: TCP_KIND });
    },
  };
}

const NOTHING = { requests: 0, responses: 0, failures: 0 };

export const TARGET_ROWS = shapeOf<TargetStats>(COUNTED.targets, {
  ...NOTHING,
  label: OTHER,
  service: OTHER,
  namespace: '',
  port: '',
  inFlight: 0,
  errors: {},
  latency: NO_SPAN,
});

export const FLOW_ROWS = shapeOf<FlowStats>(
  COUNTED.flows,
  {
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
  true,
);

export const GATEWAY_ROWS = shapeOf<GatewayStats>(COUNTED.gateways, {
  cluster: OTHER,
  address: OTHER,
  state: 'unknown',
  streams: 0,
  requests: 0,
  failures: 0,
});

export const ROUTE_ROWS = shapeOf<RouteStats>(COUNTED.routes, {
  ...NOTHING,
  target: OTHER,
  route: '',
  attempts: 0,
  failedAttempts: 0,
  retries: {},
  timeouts: {},
  latency: NO_SPAN,
});

/** Where the numbers of an object are among the fields. */
interface Place {
  readonly names: FieldNames;
  readonly first: number;
  readonly kind: number;
}

// Loops by number below: these are called for tens of thousands of rows at a time.

function eachGrowing<T extends object>(
  { plain, named }: GrowingFields<T>,
  from: T,
  { names, first, kind, put }: Place & { readonly put: Put },
): void {
  const values = from as Record<string, unknown>;
  for (let at = 0; at < plain.length; at++) {
    const value = values[plain[at] as string] as number | undefined;
    if (value !== undefined && value > 0) put(first + at, value);
  }
  for (let at = 0; at < named.length; at++) {
    const counts = values[named[at] as string] as Counts;
    for (const name in counts) {
      const count = counts[name] ?? 0;
      if (count > 0) put(names.field(name, kind + at), count);
    }
  }
}

/** The same numbers of a window; those that the object has. */
function readGrowing<T extends object>(
  { plain, named }: GrowingFields<T>,
  into: T,
  { names, first, kind, sums }: Place & { readonly sums: FieldSums },
): void {
  const values = into as Record<string, unknown>;
  for (let at = 0; at < plain.length; at++) {
    const field = plain[at] as string;
    if (values[field] !== undefined) values[field] = sums.get(first + at);
  }
  for (let at = 0; at < named.length; at++) values[named[at] as string] = names.read(sums, kind + at);
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
export function latencyOf({ values }: FieldSums): Float64Array {
  return values.subarray(LATENCY, NAMED);
}

function readLatency(sums: FieldSums): LatencySpan {
  const { values, highest } = sums;
  let [first, end] = [LATENCY, Math.min(highest + 1, NAMED)];
  while (first < end && values[first] === 0) first++;
  while (end > first && values[end - 1] === 0) end--;
  if (first >= end) return NO_SPAN;
  const counts: number[] = [];
  for (let at = first; at < end; at++) counts.push(values[at] ?? 0);
  const offset = first - LATENCY + FIRST_BUCKET;
  return { schema: LATENCY_SCHEMA, sumMs: sums.get(LATENCY_SUM) / 1000, offset, counts };
}
