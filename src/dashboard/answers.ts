import type { Explanation } from '../api/answers/admin-answers.ts';
import type { TapEvent } from '../api/answers/tap-events.ts';
import type { ErrorWords, TableName } from './snapshot.ts';

/** Any path of `/api/` and `/live/` that could not be answered, with a status of 400 and more. */
export interface ErrorAnswer {
  readonly error: ErrorWords;
}

/** `/api/<table>.json`: the table as it is now, and when that was. */
export interface TableAnswer {
  readonly at: number;
  readonly table: TableName;
  readonly rows: Readonly<Record<string, unknown>>;
}

/**
 * `/api/reasons.json`: every word that Linkspan uses, as `linkspan explain reason` and `… error` have them.
 */
export interface ReasonsAnswer {
  readonly reasons: readonly {
    readonly reason: string;
    readonly meanings: readonly { readonly of: string; readonly meaning: string }[];
    readonly fix: string;
  }[];
  readonly codes: readonly { readonly code: string; readonly meaning: string; readonly fix: string }[];
  /** Kinds of failures of a proxy, such as `connect timeout`. */
  readonly failures: readonly { readonly kind: string; readonly fix: string }[];
}

/**
 * `/api/service.json?context=&namespace=&name=`: what is asked for when somebody looks at one Service.
 * Numbers are in the tables.
 */
export interface ServiceAnswer {
  /** What controllers know of the name, by Link; empty: nothing. */
  readonly explanations: readonly Explanation[];
  /** Annotations of the Service by which it is exported, routed, retried, limited and let in. */
  readonly policy: readonly { readonly name: string; readonly value: string }[];
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
  /** Of `policy`, what cannot be followed, and why. */
  readonly problems: readonly string[];
  /** What could not be read. */
  readonly unread: readonly string[];
}

/**
 * `/live/tap?context=<context>&…` is a stream of events (SSE, without ids): the query is that of `/tap` of
 * the processes (`readTapQuery`: namespace, service, side, cluster, from, to, method, path, status, failures,
 * minLatencyMs, protocol, maxRps, forMs). The token is asked for when it begins. `event: tap` has a
 * `TapLine`, `event: refused` an `ErrorAnswer` and `event: over` a `TapOver`; the page closes the source at
 * either, as browsers would begin anew.
 */
export interface TapLine {
  readonly pod: string;
  /** `lost` with a count: more than could be shown; `end`: the pod has ended it, and why. */
  readonly event: TapEvent;
}

export interface TapOver {
  /** Pods that could not be asked, or broke off, and why. */
  readonly failures: readonly string[];
}

/**
 * `/live/top` is a stream: `event: top`, every 2 s, with the pairs of all contexts in the last 10 s, in rows
 * of the table `edges`; `event: refused` as above.
 */
export interface TopEvent {
  readonly at: number;
  readonly windowMs: number;
  readonly rows: Readonly<Record<string, unknown>>;
  readonly unread: readonly string[];
}

/** What of history can be asked for: how far back. */
export const HISTORY_RANGES = ['15m', '1h', '6h', '1d', '7d', '30d'] as const;
export type HistoryRange = (typeof HISTORY_RANGES)[number];

/** What of is asked. */
export const HISTORY_KINDS = ['service', 'link', 'cluster'] as const;
export type HistoryKind = (typeof HISTORY_KINDS)[number];

/**
 * `/api/history/table.json?kind=&range=&end=` (`end`: seconds since the epoch; default now): a row for each
 * that Prometheus knows, over the whole range. 404 without `--prometheus`; 502 and 504 where it is wrong or
 * slow.
 */
export interface HistoryTable {
  readonly kind: HistoryKind;
  readonly from: number;
  readonly to: number;
  /** True: there were more rows than are taken; those with the most requests are here. */
  readonly cut: boolean;
  readonly rows: readonly HistoryRow[];
}

export interface HistoryRow {
  /** Label `cluster`, where Prometheus adds one; else empty. */
  readonly source: string;
  /** Of a service. */
  readonly namespace: string;
  readonly name: string;
  /** Where it leads; empty at a gateway. */
  readonly cluster: string;
  readonly side: 'egress' | 'gateway';
  readonly success: number | null;
  readonly rps: number | null;
  readonly latency_ms_p50: number | null;
  readonly latency_ms_p95: number | null;
  readonly latency_ms_p99: number | null;
}

/**
 * `/api/history/series.json?kind=&range=&end=&namespace=&name=&cluster=&side=&source=`: as uPlot takes it:
 * all arrays are of one length. Without a name: of all together.
 */
export interface HistorySeries {
  readonly from: number;
  readonly to: number;
  /** Seconds. */
  readonly step: number;
  readonly at: readonly number[];
  readonly rps: readonly (number | null)[];
  readonly success: readonly (number | null)[];
  readonly p50: readonly (number | null)[];
  readonly p99: readonly (number | null)[];
}
