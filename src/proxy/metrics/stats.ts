import { type FlowStats, MAX_STATS_TEXT, type TargetStats } from '../../api/answers/stats-report.ts';
import { backendOf, mirrorOf } from '../../api/ports/target-key.ts';
import { isFailedAnswer } from '../http/classify.ts';
import { nextTurn } from '../../telemetry/pieces.ts';
import type { ConnectionCounts } from './connection-counters.ts';
import type { CountersView, Table, TargetView } from './counters-view.ts';
import type { ExpositionSource } from './exposition-labels.ts';
import type { PairNumbers } from './pair-counters.ts';
import { readResponseKey } from './histogram.ts';

/** What is said of targets beside what was counted of them. */
export interface StatsSource extends Pick<ExpositionSource, 'placeOf'> {
  /** Endpoints in balancers, by label; default: not said. */
  readonly balancers?: Table<{ readonly ready: number; readonly known: number }>;
}

/** Targets between two turns of the event loop: some two milliseconds. */
const TURN_TARGETS = 200;

/** What was counted of each target, for `GET /stats`; traffic has its turns in between. */
export async function targetStats(
  view: Pick<CountersView, 'targets' | 'endpoints'>,
  { placeOf, balancers = [] }: StatsSource,
): Promise<TargetStats[]> {
  const connections = new Map(view.endpoints);
  const endpoints = new Map(balancers);
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
    });
  }
  return stats;
}

/**
 * Pairs of clients and targets. One whose name is too long is left out: for it nobody could read the others.
 */
export function flowStats(pairs: readonly PairNumbers[]): FlowStats[] {
  return pairs.filter(({ peer }) => peer.length <= MAX_STATS_TEXT);
}

type Numbers = Pick<TargetStats, 'requests' | 'inFlight' | 'responses' | 'failures' | 'errors' | 'latency'>;

function numbersOf({ requests, inFlight, responses, failures, latency }: TargetView): Numbers {
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
  };
}

function closesOf({ opened, open, readBytes, writtenBytes, closes }: ConnectionCounts): TargetStats['tcp'] {
  return { opened, open, readBytes, writtenBytes, closes: { ...closes } };
}
