import type { Endpoints, From } from './cluster-reading.ts';
import type { SignalFields, Tally } from './tally.ts';
import type { ToldVerdict, Verdict } from './traffic-verdict.ts';

/** What can be asked about. */
export const STAT_KINDS = ['svc', 'mirror', 'ns', 'link', 'gateway', 'egress', 'client', 'cluster'] as const;
export type StatKind = (typeof STAT_KINDS)[number];

/** Which end of the way across clusters has counted. */
export type Side = 'egress' | 'gateway' | null;

/** Shares of a mirror's time, where both ends are known. */
export interface BothEnds {
  readonly egress_ms_p99: number | null;
  readonly gateway_ms_p99: number | null;
  readonly rtt_ms: number | null;
  /** Where most of the median goes. */
  readonly where: 'egress' | 'endpoint' | 'gateway' | 'network' | null;
}

/** One row of `linkspan stat`, for programs. Keys are those of `linkerd viz stat` where that has them. */
export interface StatRow extends SignalFields, ToldVerdict {
  readonly namespace: string;
  readonly kind: StatKind;
  readonly name: string;
  readonly cluster: string;
  readonly side: Side;
  readonly endpoints: Endpoints | null;
  /** How long was looked at, seconds. */
  readonly window_s: number;
  readonly from: From;
  /** Each second: requests sent again, whose time was over, one too many, and not allowed. */
  readonly retries?: number | null;
  readonly timeouts?: number;
  readonly limited?: number;
  readonly unauthorized?: number;
  /** Of a mirror: the cluster that it is in; `cluster` is the one that it leads to. */
  readonly source?: string;
  /** Of a mirror, where both clusters were asked. */
  readonly ends?: BothEnds;
  readonly gateways?: { readonly alive: number; readonly known: number } | null;
  readonly rtt_ms?: number | null;
  readonly streams?: number | null;
  readonly mirrors?: number | null;
  readonly exports?: number;
  readonly links?: number;
  readonly workers?: number | null;
  readonly cpu?: string | null;
  readonly memory?: string | null;
  readonly targets?: number;
  /** Seconds since the last request of a client began. */
  readonly last_s?: number | null;
}

/** What is the same in rows of every kind. */
export function baseRow(
  of: Pick<StatRow, 'namespace' | 'kind' | 'name' | 'cluster' | 'side' | 'window_s' | 'from'>,
  tally: Tally,
  { failing, reason, message }: Verdict,
  endpoints?: Endpoints,
): StatRow {
  const { namespace, kind, name, cluster, side, window_s, from } = of;
  return {
    namespace,
    kind,
    name,
    cluster,
    side,
    ...tally.fields,
    endpoints: endpoints ?? null,
    failing,
    reason,
    message,
    advice: '',
    window_s,
    from,
  };
}

/** What rows can be sorted by. */
export const SORTS = ['failing', 'name', 'rps', 'success', 'p99'] as const;
export type Sort = (typeof SORTS)[number];

interface Sortable {
  readonly failing: boolean;
  readonly rps: number | null;
  readonly success?: number | null;
  readonly latency_ms_p99?: number | null;
}

/**
 * Rows in the order in which they are shown.
 * @param sort `failing`: failing ones first, then the busiest; `success`: the worst first; `p99`: the slowest
 * @param nameOf by which what is equal is ordered
 */
export function inOrder<T extends Sortable>(rows: readonly T[], sort: Sort, nameOf: (row: T) => string): T[] {
  const key: Readonly<Record<Sort, (row: T) => readonly number[]>> = {
    failing: ({ failing, rps }) => [failing ? 0 : 1, -(rps ?? 0)],
    name: () => [],
    rps: ({ rps }) => [-(rps ?? 0)],
    success: ({ success }) => [success ?? 2],
    p99: ({ latency_ms_p99: ms }) => [-(ms ?? -1)],
  };
  const keys = new Map(rows.map((row) => [row, key[sort](row)]));
  return [...rows].sort((a, b) => {
    const [left, right] = [keys.get(a) ?? [], keys.get(b) ?? []];
    const at = left.findIndex((value, nth) => value !== right[nth]);
    if (at >= 0) return (left[at] ?? 0) - (right[at] ?? 0);
    const [one, other] = [nameOf(a), nameOf(b)];
    return one < other ? -1 : Number(one > other);
  });
}
