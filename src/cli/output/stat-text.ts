import { largest } from '../../base/extremes.ts';
import type { StatKind, StatRow } from '../../traffic/stat-row.ts';
import { age } from './output.ts';
import {
  bytesCell,
  type Column,
  countCell,
  LATENCIES,
  noTraffic,
  P99,
  partCell,
  RPS,
  rateCell,
  REASON,
  SUCCESS,
  textCell,
  timeCell,
  trafficTable,
} from './traffic-text.ts';

type StatColumn = Column<StatRow>;

const NAMESPACE: StatColumn = ['NAMESPACE', ({ namespace }) => textCell(namespace)];
const NAME: StatColumn = ['NAME', ({ name }) => textCell(name)];
const CLUSTER: StatColumn = ['CLUSTER', ({ cluster }) => textCell(cluster)];
const SOURCE: StatColumn = ['SOURCE', ({ source }) => textCell(source)];
const RTT: StatColumn = ['RTT', (row) => timeCell(row.rtt_ms)];
const STREAMS: StatColumn = ['STREAMS', ({ streams }) => countCell(streams)];
const GATEWAYS: StatColumn = [
  'GATEWAYS',
  ({ gateways }) =>
    partCell(
      gateways === null || gateways === undefined ? null : { ready: gateways.alive, known: gateways.known },
    ),
];
const MIRRORS: StatColumn = ['MIRRORS', ({ mirrors }) => countCell(mirrors)];

const SERVICE: readonly StatColumn[] = [
  NAMESPACE,
  NAME,
  CLUSTER,
  ['ENDPOINTS', ({ endpoints }) => partCell(endpoints)],
  SUCCESS,
  RPS,
  ...LATENCIES,
  ['TCP_CONN', (row) => countCell(row.tcp_open_connections)],
];
const SERVICE_WIDE: readonly StatColumn[] = [
  ['IN_FLIGHT', (row) => countCell(row.in_flight)],
  ['READ_BYTES/SEC', (row) => bytesCell(row.tcp_read_bytes_rate)],
  ['WRITE_BYTES/SEC', (row) => bytesCell(row.tcp_write_bytes_rate)],
  ['RETRIES', ({ retries }) => rateCell(retries)],
  ['TIMEOUTS', ({ timeouts }) => rateCell(timeouts)],
  ['LIMITED', ({ limited }) => rateCell(limited)],
  ['UNAUTHORIZED', ({ unauthorized }) => rateCell(unauthorized)],
];
const ENDS: readonly StatColumn[] = [
  ['EGRESS_P99', ({ ends }) => timeCell(ends?.egress_ms_p99)],
  ['GATEWAY_P99', ({ ends }) => timeCell(ends?.gateway_ms_p99)],
  RTT,
  ['WHERE', ({ ends }) => textCell(ends?.where)],
];
const PROCESS: readonly StatColumn[] = [
  NAME,
  CLUSTER,
  ['WORKERS', ({ workers }) => countCell(workers)],
  SUCCESS,
  RPS,
  ...LATENCIES,
  ['CONN', (row) => countCell(row.tcp_open_connections)],
  STREAMS,
  ['CPU', ({ cpu }) => textCell(cpu)],
  ['MEMORY', ({ memory }) => textCell(memory)],
];

/** Columns of each kind; the reason is the last one. */
const COLUMNS: Readonly<
  Record<StatKind, { readonly own: readonly StatColumn[]; readonly wide: readonly StatColumn[] }>
> = {
  svc: { own: SERVICE, wide: SERVICE_WIDE },
  mirror: { own: SERVICE, wide: [...SERVICE_WIDE, ...ENDS] },
  ns: {
    own: [NAME, CLUSTER, SUCCESS, RPS, ...LATENCIES],
    wide: [['IN_FLIGHT', (row) => countCell(row.in_flight)]],
  },
  link: { own: [NAME, CLUSTER, GATEWAYS, RTT, SUCCESS, RPS, ...LATENCIES, STREAMS, MIRRORS], wide: [] },
  gateway: { own: PROCESS, wide: [['IN_FLIGHT', (row) => countCell(row.in_flight)]] },
  egress: { own: PROCESS, wide: [['IN_FLIGHT', (row) => countCell(row.in_flight)]] },
  client: {
    own: [
      ['CLIENT', ({ namespace, name }) => (namespace === '' ? name : `${namespace}/${name}`)],
      CLUSTER,
      ['TARGETS', ({ targets }) => countCell(targets)],
      SUCCESS,
      RPS,
      P99,
      ['DENIED', ({ unauthorized }) => rateCell(unauthorized)],
      ['LAST', (row) => (row.last_s === null || row.last_s === undefined ? '-' : age(row.last_s))],
    ],
    wide: [['IN_FLIGHT', (row) => countCell(row.in_flight)]],
  },
  cluster: {
    own: [
      CLUSTER,
      ['LINKS', ({ links }) => countCell(links)],
      GATEWAYS,
      ['EXPORTS', (row) => countCell(row.exports)],
      MIRRORS,
      SUCCESS,
      RPS,
      RTT,
    ],
    wide: [],
  },
};

/** What a row is called below the table. */
export function statName({ kind, namespace, name, cluster }: StatRow): string {
  const own = namespace === '' || kind === 'ns' ? name : `${namespace}/${name}`;
  return kind === 'cluster' || cluster === '' ? own : `${own} (${cluster})`;
}

/**
 * A table for each kind that was asked for.
 * @param windowMs what was asked for, for where nobody has answered for a time
 */
export function statText(
  kinds: readonly StatKind[],
  rows: readonly StatRow[],
  {
    wide,
    several,
    windowMs,
  }: { readonly wide: boolean; readonly several: boolean; readonly windowMs: number },
): string {
  const isQuiet = rows.every(({ rps }) => rps === null);
  const shown = isQuiet ? rows.filter(({ failing, kind }) => failing || isProcess(kind)) : rows;
  const tables = kinds.flatMap((kind) => {
    const own = shown.filter((row) => row.kind === kind);
    if (own.length === 0) return [];
    const { own: columns, wide: more } = COLUMNS[kind];
    const source = several && (kind === 'mirror' || kind === 'link') ? [SOURCE] : [];
    return [trafficTable([...columns, ...(wide ? more : []), ...source, REASON], own, statName)];
  });
  const seconds = largest(
    rows.map(({ window_s: one }) => one),
    0,
  );
  return [...tables, ...(isQuiet ? [noTraffic(seconds, windowMs)] : [])].join('\n');
}

/** What is there whether or not anything passes. */
function isProcess(kind: StatKind): boolean {
  return kind === 'gateway' || kind === 'egress' || kind === 'link' || kind === 'cluster';
}
