import type { RouteRow } from '../../traffic/route-rows.ts';
import {
  type Column,
  noTraffic,
  rateCell,
  successCell,
  textCell,
  timeCell,
  trafficTable,
} from './traffic-text.ts';

const OWN: readonly Column<RouteRow>[] = [
  ['ROUTE', ({ route }) => route],
  ['SERVICE', ({ namespace, service }) => (namespace === '' ? service : `${namespace}/${service}`)],
  ['CLUSTER', ({ cluster }) => cluster],
  ['SUCCESS', ({ success }) => successCell(success)],
  ['RPS', ({ rps }) => rateCell(rps)],
  ['LATENCY_P50', (row) => timeCell(row.latency_ms_p50)],
  ['LATENCY_P95', (row) => timeCell(row.latency_ms_p95)],
  ['LATENCY_P99', (row) => timeCell(row.latency_ms_p99)],
  ['RETRIES', ({ retries }) => rateCell(retries)],
  ['TIMEOUTS', ({ timeouts }) => rateCell(timeouts)],
];
const WIDE: readonly Column<RouteRow>[] = [
  ['EFFECTIVE_SUCCESS', (row) => successCell(row.effective_success)],
  ['EFFECTIVE_RPS', (row) => rateCell(row.effective_rps)],
  ['ACTUAL_SUCCESS', (row) => successCell(row.actual_success)],
  ['ACTUAL_RPS', (row) => rateCell(row.actual_rps)],
];
const REASON: Column<RouteRow> = ['REASON', ({ reason }) => textCell(reason)];

/** What a route is called below the table. */
export function routeName({ route, namespace, service, cluster }: RouteRow): string {
  return `${namespace}/${service} ${route} (${cluster})`;
}

/** @param windowMs what was asked for */
export function routesText(rows: readonly RouteRow[], wide: boolean, windowMs: number): string {
  if (rows.length === 0) return noTraffic(0, windowMs);
  return trafficTable([...OWN, ...(wide ? WIDE : []), REASON], rows, routeName);
}
