import type { RouteRow } from '../../traffic/route-rows.ts';
import {
  type Column,
  LATENCIES,
  noTraffic,
  rateCell,
  REASON,
  RPS,
  SUCCESS,
  successCell,
  trafficTable,
} from './traffic-text.ts';

const OWN: readonly Column<RouteRow>[] = [
  ['ROUTE', ({ route }) => route],
  ['SERVICE', ({ namespace, service }) => (namespace === '' ? service : `${namespace}/${service}`)],
  ['CLUSTER', ({ cluster }) => cluster],
  SUCCESS,
  RPS,
  ...LATENCIES,
  ['RETRIES', ({ retries }) => rateCell(retries)],
  ['TIMEOUTS', ({ timeouts }) => rateCell(timeouts)],
];
const WIDE: readonly Column<RouteRow>[] = [
  ['EFFECTIVE_SUCCESS', (row) => successCell(row.effective_success)],
  ['EFFECTIVE_RPS', (row) => rateCell(row.effective_rps)],
  ['ACTUAL_SUCCESS', (row) => successCell(row.actual_success)],
  ['ACTUAL_RPS', (row) => rateCell(row.actual_rps)],
];

/** What a route is called below the table. */
export function routeName({ route, namespace, service, cluster }: RouteRow): string {
  return `${namespace}/${service} ${route} (${cluster})`;
}

/** @param windowMs what was asked for */
export function routesText(rows: readonly RouteRow[], wide: boolean, windowMs: number): string {
  if (rows.length === 0)
    return noTraffic(0, windowMs, 'to which retries, timeouts or a ServiceProfile apply');
  return trafficTable([...OWN, ...(wide ? WIDE : []), REASON], rows, routeName);
}
