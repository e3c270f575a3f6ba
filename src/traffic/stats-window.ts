import { COUNTED, type CountedRows, type GrowingFields, TCP_COUNTS } from '../api/answers/stats-counters.ts';
import type { StatsReport, TargetStats } from '../api/answers/stats-report.ts';
import type { CountedWindow } from './cluster-reading.ts';

/**
 * What a process counted between two reports, or in the window that it was asked for. One that has started
 * anew in between has counted all of it since.
 * @param before an earlier report of the same process
 * @returns undefined: there is no time to speak of
 */
export function windowOf(report: StatsReport, before?: StatsReport): CountedWindow | undefined {
  const { windowMs, at, startedAt } = report;
  if (windowMs !== undefined) return windowMs > 0 ? { report, ms: windowMs } : undefined;
  if (before === undefined) return undefined;
  const isSame = before.startedAt === startedAt;
  const ms = at - (isSame ? before.at : startedAt);
  if (!(ms > 0)) return undefined;
  return { report: isSame ? since(report, before) : report, ms };
}

/** How many reports of one process are kept for its windows. */
const KEPT = 30;

/**
 * What is to be kept of a process that only says totals, the oldest first: the oldest is as old as the
 * window, or a little older. However often it is asked, and whatever it says of the time, it is no more than
 * a few.
 * @param before what has been kept
 */
export function keptReports(
  before: readonly StatsReport[],
  report: StatsReport,
  windowMs: number,
): StatsReport[] {
  const [last, earlier] = [before.at(-1), before.at(-2)];
  // Its clock was set back: nothing is known of the time in between.
  if (last !== undefined && report.at < last.at) return [report];
  const isClose = last !== undefined && earlier !== undefined && last.at - earlier.at < windowMs / KEPT;
  const kept = [...(isClose ? before.slice(0, -1) : before), report];
  while (kept.length > 2 && report.at - (kept[1]?.at ?? 0) >= windowMs) kept.shift();
  return kept;
}

function since(now: StatsReport, before: StatsReport): StatsReport {
  const { targets, flows, gateways, routes } = COUNTED;
  return {
    ...now,
    targets: rowsSince(targets, now.targets, before.targets),
    flows: rowsSince(flows, now.flows, before.flows),
    gateways: rowsSince(gateways, now.gateways, before.gateways),
    ...(now.routes && { routes: rowsSince(routes, now.routes, before.routes ?? []) }),
  };
}

/** What rows of every kind have, and what those of some have. */
interface Row {
  readonly requests: number;
  readonly latency?: Latency | undefined;
  readonly tcp?: TargetStats['tcp'];
}

function rowsSince<R extends Row>(of: CountedRows<R>, now: readonly R[], before: readonly R[]): R[] {
  const earlier = new Map(before.map((row) => [of.key(row), row]));
  return now.map((row) => {
    const then = earlier.get(of.key(row));
    // It was forgotten, and is known again: what it has, it has counted since.
    return then === undefined || row.requests < then.requests ? row : rowSince(of, row, then);
  });
}

function rowSince<R extends Row>(of: CountedRows<R>, now: R, before: R): R {
  const { latency, tcp } = now;
  return {
    ...now,
    ...growthOf(of, now, before),
    ...(latency && before.latency && { latency: latencySince(latency, before.latency) }),
    ...(tcp && before.tcp && { tcp: { ...tcp, ...growthOf(TCP_COUNTS, tcp, before.tcp) } }),
  };
}

/** The counters that there are, since an earlier time. */
function growthOf<T extends object>({ plain, named }: GrowingFields<T>, now: T, before: T): Partial<T> {
  const [values, earlier] = [now as Values, before as Values];
  const found: Record<string, unknown> = {};
  for (const field of plain) {
    const value = values[field];
    if (value !== undefined) found[field] = less(value as number, (earlier[field] ?? 0) as number);
  }
  for (const field of named) found[field] = lessEach(values[field] as Counts, earlier[field] as Counts);
  return found as Partial<T>;
}

type Counts = Readonly<Record<string, number>>;
/** By the names of `GrowingFields`. */
type Values = Readonly<Record<string, unknown>>;

/** Counters never go back; where one does, what it has has been counted since. */
function less(now: number, before: number): number {
  return now < before ? now : now - before;
}

function lessEach(now: Counts, before: Counts): Record<string, number> {
  const entries = Object.entries(now).map(([kind, count]) => [kind, less(count, before[kind] ?? 0)] as const);
  return Object.fromEntries(entries.filter(([, count]) => count > 0));
}

type Latency = TargetStats['latency'];

function latencySince(now: Latency, before: Latency): Latency {
  const counts = now.counts.map((count, at) => {
    const then = before.counts[at + now.offset - before.offset] ?? 0;
    return Math.max(0, count - then);
  });
  return { ...now, sumMs: Math.max(0, now.sumMs - before.sumMs), counts };
}
