import type { LinkReport } from '../../api/answers/admin-answers.ts';
import type { GatewayRow } from '../queries/gateway-rows.ts';
import { addressKey, type AddressRates } from '../../traffic/address-rates.ts';
import { table } from './output.ts';
import { rateCell, successCell, timeCell } from './traffic-text.ts';

/** The same table as Linkerd's, because tools parse it. */
export function gatewaysText(rows: readonly GatewayRow[]): string {
  if (rows.length === 0) return 'No linked cluster has a gateway.\n';
  return table(
    ['CLUSTER', 'ALIVE', 'NUM_SVC', 'LATENCY'],
    rows.map(({ clusterName, alive, numberOfServices, latency }) => [
      clusterName,
      alive ? 'True' : 'False',
      String(numberOfServices),
      alive ? `${latency}ms` : '-',
    ]),
  );
}

/**
 * A line for each address, with why it does not answer, and what egress pods send there.
 * @param rates by `addressKey`; default: nobody says
 */
export function wideText(
  reports: readonly LinkReport[],
  rows: readonly GatewayRow[],
  rates: ReadonlyMap<string, AddressRates> = new Map(),
): string {
  const lines = reports.flatMap(({ cluster, gateway }) =>
    (gateway?.addresses ?? []).map(({ address, state, latencyMs, reason, message }) => {
      const mirrors = rows.find(({ clusterName }) => clusterName === cluster)?.numberOfServices ?? 0;
      const latency = state === 'alive' && latencyMs !== undefined ? `${latencyMs.toFixed(1)}ms` : '-';
      const why = state === 'alive' || reason === undefined ? '' : `${reason}: ${message}`;
      const { rttMs, rps, success = null } = rates.get(addressKey(cluster, address)) ?? {};
      const traffic = [timeCell(rttMs), rateCell(rps), successCell(success)];
      return [cluster, gateway?.path ?? '', String(mirrors), address, state, latency, ...traffic, why];
    }),
  );
  if (lines.length === 0) return gatewaysText(rows);
  return table(
    ['CLUSTER', 'GATEWAY', 'NUM_SVC', 'ADDRESS', 'STATE', 'LATENCY', 'RTT', 'RPS', 'SUCCESS', 'REASON'],
    lines,
  );
}
