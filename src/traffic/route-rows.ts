import type { RouteStats } from '../api/answers/stats-report.ts';
import { backendOf, mirrorOf } from '../api/ports/target-key.ts';
import { answersOf, type ClusterReading, type From } from './cluster-reading.ts';
import { origin } from './service-rows.ts';
import { attemptsOf, rounded, type SignalFields, Tally } from './tally.ts';
import { signalsVerdict, type ToldVerdict } from './traffic-verdict.ts';

/** Requests that no route is for, as Linkerd calls them. */
export const DEFAULT_ROUTE = '[DEFAULT]';

/** One route of a Service, for programs. */
export interface RouteRow
  extends Pick<SignalFields, 'latency_ms_p50' | 'latency_ms_p95' | 'latency_ms_p99' | 'rps' | 'success'>,
    ToldVerdict {
  readonly route: string;
  readonly namespace: string;
  readonly service: string;
  readonly cluster: string;
  readonly side: 'egress' | 'gateway';
  /** Each second. */
  readonly retries: number;
  readonly timeouts: number;
  /** As clients see it, and as endpoints do: each attempt by itself. */
  readonly effective_success: number | null;
  readonly effective_rps: number | null;
  readonly actual_success: number | null;
  readonly actual_rps: number | null;
  readonly window_s: number;
  readonly from: From;
}

/**
 * Routes of a Service.
 * @param wanted which Service is meant
 */
export function routeRows(
  readings: readonly ClusterReading[],
  wanted: (service: { readonly namespace: string; readonly name: string }) => boolean,
): RouteRow[] {
  return readings.flatMap((reading) =>
    (['egress', 'gateway'] as const).flatMap((side) => {
      const all = answersOf(reading, side).flatMap(({ window }) =>
        (window.report.routes ?? []).map((route) => ({ route, ms: window.ms })),
      );
      const own = all.filter(({ route }) => wanted(serviceOf(route)));
      const byRoute = Map.groupBy(own, ({ route }) => {
        const { namespace, name } = serviceOf(route);
        return `${namespace}/${name}\n${route.route}`;
      });
      return [...byRoute.values()].map((counted) => routeRow(reading, side, counted));
    }),
  );
}

/** Whether any process says anything of routes: older ones do not. */
export function tellsRoutes(readings: readonly ClusterReading[]): boolean {
  return readings.some(({ processes }) =>
    processes.some(({ window }) => window?.report.routes !== undefined),
  );
}

function serviceOf({ target }: RouteStats) {
  return mirrorOf(target) ?? backendOf(target);
}

function routeRow(
  reading: ClusterReading,
  side: 'egress' | 'gateway',
  counted: readonly { readonly route: RouteStats; readonly ms: number }[],
): RouteRow {
  const [effective, actual] = [new Tally(), new Tally()];
  let [retries, timeouts] = [0, 0];
  for (const { route, ms } of counted) {
    effective.add(route, ms);
    actual.add(attemptsOf(route), ms);
    retries += (route.retries['sent'] ?? 0) / (ms / 1000);
    timeouts += Object.values(route.timeouts).reduce((sum, count) => sum + count, 0) / (ms / 1000);
  }
  const [first] = counted;
  const { namespace, name } = first === undefined ? { namespace: '', name: '' } : serviceOf(first.route);
  const { success, rps, latency_ms_p50, latency_ms_p95, latency_ms_p99 } = effective.fields;
  return {
    route: first?.route.route || DEFAULT_ROUTE,
    namespace,
    service: name,
    cluster: reading.cluster,
    side,
    success,
    rps,
    latency_ms_p50,
    latency_ms_p95,
    latency_ms_p99,
    retries: rounded(retries) ?? 0,
    timeouts: rounded(timeouts) ?? 0,
    effective_success: success,
    effective_rps: rps,
    actual_success: actual.fields.success,
    actual_rps: actual.fields.rps,
    ...signalsVerdict(effective),
    advice: '',
    ...origin(reading, side),
  };
}
