import type { ProxyRow } from '../../traffic/proxy-rows.ts';
import { age } from './output.ts';
import { type Column, countCell, REASON, textCell, trafficTable } from './traffic-text.ts';

const COLUMNS: readonly Column<ProxyRow>[] = [
  ['NAME', ({ name }) => name],
  ['KIND', ({ kind }) => kind],
  ['CLUSTER', ({ cluster }) => cluster],
  ['VERSION', ({ version }) => textCell(version)],
  ['READY', ({ ready }) => (ready ? 'yes' : 'no')],
  ['WORKERS', ({ workers }) => countCell(workers)],
  ['SYNCED', ({ synced }) => (synced === null ? '-' : `${synced.ok}/${synced.known}`)],
  ['OLDEST', ({ oldest_s: oldest }) => (oldest === null ? '-' : age(oldest))],
  ['CERT_LEFT', (row) => leftCell(row.certificate_left_s)],
  ['CONN', ({ connections }) => countCell(connections)],
  ['STREAMS', ({ streams }) => countCell(streams)],
  ['RESTARTS', ({ restarts }) => String(restarts)],
  REASON,
];
const IDENTITY: Column<ProxyRow> = ['IDENTITY', ({ identity }) => textCell(identity)];

function leftCell(seconds: number | null): string {
  if (seconds === null) return '-';
  return seconds < 0 ? 'ended' : age(seconds);
}

/** What a process is called below the table. */
export function proxyName({ name, cluster }: ProxyRow): string {
  return `${name} (${cluster})`;
}

/** The table; the wide one has identities, too. */
export function proxiesText(rows: readonly ProxyRow[], wide: boolean): string {
  if (rows.length === 0) return 'There is no pod of Linkspan.\n';
  const columns = wide ? [...COLUMNS.slice(0, -1), IDENTITY, ...COLUMNS.slice(-1)] : COLUMNS;
  return trafficTable(columns, rows, proxyName);
}
