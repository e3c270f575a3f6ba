import type {
  FlowStats,
  GatewayStats,
  RouteStats,
  StatsReport,
  TargetStats,
} from '../api/answers/stats-report.ts';
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
  const targets = byKey(before.targets, ({ label }) => label);
  const flows = byKey(before.flows, flowKey);
  const gateways = byKey(before.gateways, gatewayKey);
  const routes = byKey(before.routes ?? [], routeKey);
  return {
    ...now,
    targets: now.targets.map((one) => targetSince(one, targets.get(one.label))),
    flows: now.flows.map((one) => flowSince(one, flows.get(flowKey(one)))),
    gateways: now.gateways.map((one) => gatewaySince(one, gateways.get(gatewayKey(one)))),
    ...(now.routes === undefined
      ? {}
      : { routes: now.routes.map((one) => routeSince(one, routes.get(routeKey(one)))) }),
  };
}

function byKey<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, T> {
  return new Map(items.map((item) => [keyOf(item), item]));
}

const flowKey = ({ peer, from, target }: FlowStats) => `${target}\n${peer}\n${from?.cluster ?? ''}`;
const gatewayKey = ({ cluster, address }: GatewayStats) => `${cluster}\n${address}`;
const routeKey = ({ target, route }: RouteStats) => `${target}\n${route}`;

function targetSince(now: TargetStats, before: TargetStats | undefined): TargetStats {
  // It was forgotten, and is known again: what it has, it has counted since.
  if (before === undefined || now.requests < before.requests) return now;
  const { tcp } = now;
  return {
    ...now,
    requests: now.requests - before.requests,
    responses: less(now.responses, before.responses),
    failures: less(now.failures, before.failures),
    errors: lessEach(now.errors, before.errors),
    latency: latencySince(now.latency, before.latency),
    ...countsSince(now, before, 'retries', 'timeouts', 'limited'),
    ...(tcp === undefined ? {} : { tcp: tcpSince(tcp, before.tcp) }),
  };
}

type Tcp = NonNullable<TargetStats['tcp']>;

function tcpSince(now: Tcp, before: Tcp | undefined): Tcp {
  if (before === undefined) return now;
  return {
    open: now.open,
    opened: less(now.opened, before.opened),
    readBytes: less(now.readBytes, before.readBytes),
    writtenBytes: less(now.writtenBytes, before.writtenBytes),
    closes: lessEach(now.closes, before.closes),
  };
}

function flowSince(now: FlowStats, before: FlowStats | undefined): FlowStats {
  if (before === undefined || now.requests < before.requests) return now;
  return {
    ...now,
    requests: now.requests - before.requests,
    failures: less(now.failures, before.failures),
    errors: lessEach(now.errors, before.errors),
    bytesIn: less(now.bytesIn, before.bytesIn),
    bytesOut: less(now.bytesOut, before.bytesOut),
  };
}

function gatewaySince(now: GatewayStats, before: GatewayStats | undefined): GatewayStats {
  if (before === undefined || now.requests < before.requests) return now;
  return {
    ...now,
    requests: now.requests - before.requests,
    failures: less(now.failures, before.failures),
  };
}

function routeSince(now: RouteStats, before: RouteStats | undefined): RouteStats {
  if (before === undefined || now.requests < before.requests) return now;
  return {
    ...now,
    requests: now.requests - before.requests,
    responses: less(now.responses, before.responses),
    failures: less(now.failures, before.failures),
    latency: latencySince(now.latency, before.latency),
    attempts: less(now.attempts, before.attempts),
    failedAttempts: less(now.failedAttempts, before.failedAttempts),
    retries: lessEach(now.retries, before.retries),
    timeouts: lessEach(now.timeouts, before.timeouts),
  };
}

/** Counters never go back; where one does, what it has has been counted since. */
function less(now: number, before: number): number {
  return now < before ? now : now - before;
}

function lessEach(
  now: Readonly<Record<string, number>>,
  before: Readonly<Record<string, number>>,
): Record<string, number> {
  const entries = Object.entries(now).map(([kind, count]) => [kind, less(count, before[kind] ?? 0)] as const);
  return Object.fromEntries(entries.filter(([, count]) => count > 0));
}

/** Those of the optional counters that there are. */
function countsSince<K extends string>(
  now: Readonly<Partial<Record<K, number | undefined>>>,
  before: Readonly<Partial<Record<K, number | undefined>>>,
  ...keys: readonly K[]
): Partial<Record<K, number>> {
  const found: Partial<Record<K, number>> = {};
  for (const key of keys) {
    const count = now[key];
    if (count !== undefined) found[key] = less(count, before[key] ?? 0);
  }
  return found;
}

type Latency = TargetStats['latency'];

function latencySince(now: Latency, before: Latency): Latency {
  const counts = now.counts.map((count, at) => {
    const then = before.counts[at + now.offset - before.offset] ?? 0;
    return Math.max(0, count - then);
  });
  return { ...now, sumMs: Math.max(0, now.sumMs - before.sumMs), counts };
}
