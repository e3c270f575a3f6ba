import {
  type FlowStats,
  MAX_STATS_TEXT,
  type RouteStats,
  type TargetStats,
} from '../../api/answers/stats-report.ts';
import { backendOf, mirrorOf } from '../../api/ports/target-key.ts';
import { isFailedAnswer } from '../http/classify.ts';
import { nextTurn } from '../../telemetry/pieces.ts';
import type { ConnectionCounts } from './connection-counters.ts';
import type { CountersView, Table, TargetView } from './counters-view.ts';
import type { ExpositionSource } from './exposition-labels.ts';
import type { PairNumbers } from './pair-counters.ts';
import { readResponseKey } from './histogram.ts';
import { latencySpan } from './latency-histogram.ts';
import { readAnswerKey, type RouteCounts } from './route-counters.ts';
import { readKey } from './counters.ts';

/** What is said of targets beside what was counted of them. */
export interface StatsSource extends Pick<ExpositionSource, 'placeOf'> {
  /** Endpoints in balancers, by label; default: not said. */
  readonly balancers?: Table<{ readonly ready: number; readonly known: number }>;
}

/** Targets between two turns of the event loop: some two milliseconds. */
const TURN_TARGETS = 200;

/** What was counted of each target, for `GET /stats`; traffic has its turns in between. */
export async function targetStats(
  view: Pick<CountersView, 'targets' | 'endpoints' | 'routes' | 'rateLimits'>,
  { placeOf, balancers = [] }: StatsSource,
): Promise<TargetStats[]> {
  const connections = new Map(view.endpoints);
  const endpoints = new Map(balancers);
  const ruled = ruledTargets(view);
  const stats: TargetStats[] = [];
  for (const [label, target] of view.targets) {
    if (stats.length % TURN_TARGETS === TURN_TARGETS - 1) await nextTurn();
    const { name, namespace, port } = mirrorOf(label) ?? backendOf(label);
    const [place, tcp, balanced] = [placeOf?.(label), connections.get(label), endpoints.get(label)];
    stats.push({
      label,
      service: name,
      namespace,
      port,
      ...(place === undefined ? {} : { there: { cluster: place.cluster, name: place.name } }),
      ...numbersOf(target),
      ...(tcp === undefined ? {} : { tcp: closesOf(tcp) }),
      ...(balanced === undefined ? {} : { endpoints: balanced }),
      ...ruled.get(label),
    });
  }
  return stats;
}

type Ruled = Pick<TargetStats, 'retries' | 'timeouts' | 'limited'>;

/** What rules have done to the requests for targets that have any. */
function ruledTargets({
  routes,
  rateLimits,
}: Pick<CountersView, 'routes' | 'rateLimits'>): Map<string, Ruled> {
  const found = new Map<string, Ruled>();
  const add = (key: string, more: Ruled) => {
    const [target = ''] = readKey(key);
    const { retries = 0, timeouts = 0, limited = 0 } = found.get(target) ?? {};
    found.set(target, {
      retries: retries + (more.retries ?? 0),
      timeouts: timeouts + (more.timeouts ?? 0),
      limited: limited + (more.limited ?? 0),
    });
  };
  for (const [key, { retries, timeouts }] of routes)
    add(key, { retries: retries.sent, timeouts: sumOf(timeouts) });
  for (const [key, limited] of rateLimits) add(key, { limited });
  return found;
}

/** Routes of targets with retries, timeouts or a ServiceProfile. */
export async function routeStats({ routes }: Pick<CountersView, 'routes'>): Promise<RouteStats[]> {
  const stats: RouteStats[] = [];
  for (const [key, counts] of routes) {
    if (stats.length % TURN_TARGETS === TURN_TARGETS - 1) await nextTurn();
    const [target = '', route = ''] = readKey(key);
    const [answered, tried] = [outcomes(counts.responses), outcomes(counts.answers)];
    stats.push({
      target,
      route,
      requests: counts.requests,
      responses: answered.all,
      failures: answered.failed,
      attempts: counts.attempts,
      failedAttempts: tried.failed,
      retries: { ...counts.retries },
      timeouts: { ...counts.timeouts },
      latency: latencySpan(counts.latency),
    });
  }
  return stats;
}

function outcomes(responses: RouteCounts['responses']): { readonly all: number; readonly failed: number } {
  let [all, failed] = [0, 0];
  for (const [key, { count }] of Object.entries(responses)) {
    all += count;
    if (readAnswerKey(Number(key)).failed) failed += count;
  }
  return { all, failed };
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/**
 * Pairs of clients and targets. One whose name is too long is left out: for it nobody could read the others.
 */
export function flowStats(pairs: readonly PairNumbers[]): FlowStats[] {
  return pairs.filter(({ peer }) => peer.length <= MAX_STATS_TEXT);
}

type Numbers = Pick<
  TargetStats,
  'errors' | 'failures' | 'inFlight' | 'latency' | 'requests' | 'responses' | 'waitedMs' | 'waits'
>;

function numbersOf(target: TargetView): Numbers {
  const { requests, inFlight, responses, failures, latency, waits, waitedMs } = target;
  let [ended, failed] = [0, 0];
  for (const [key, { count }] of responses) {
    const { status, grpc } = readResponseKey(Number(key));
    ended += count;
    if (isFailedAnswer(status, grpc)) failed += count;
  }
  return {
    requests,
    inFlight,
    responses: ended,
    failures: failed,
    errors: Object.fromEntries(failures),
    latency: latency.span,
    waits,
    waitedMs: Math.round(waitedMs),
  };
}

function closesOf({ opened, open, readBytes, writtenBytes, closes }: ConnectionCounts): TargetStats['tcp'] {
  return { opened, open, readBytes, writtenBytes, closes: { ...closes } };
}
