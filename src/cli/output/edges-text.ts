import type { EdgeRow } from '../../traffic/edge-rows.ts';
import { age } from './output.ts';
import {
  bytesCell,
  type Column,
  noTraffic,
  REASON,
  RPS,
  SUCCESS,
  textCell,
  trafficTable,
} from './traffic-text.ts';

const OWN: readonly Column<EdgeRow>[] = [
  ['SRC', ({ src }) => textCell(src)],
  ['SRC_NS', (row) => textCell(row.src_namespace)],
  ['SRC_CLUSTER', (row) => textCell(row.src_cluster)],
  ['DST', ({ dst }) => textCell(dst)],
  ['DST_NS', (row) => textCell(row.dst_namespace)],
  ['DST_CLUSTER', (row) => textCell(row.dst_cluster)],
  ['SECURED', ({ secured }) => secured],
  SUCCESS,
  RPS,
];
const WIDE: readonly Column<EdgeRow>[] = [
  ['CLIENT_ID', (row) => textCell(row.client_id)],
  ['SERVER_ID', (row) => textCell(row.server_id)],
  ['PROTOCOL', (row) => textCell(row.protocols.join(','))],
  ['VIA', ({ via }) => via],
  ['LAST', (row) => age(row.last_s)],
  ['IN_BYTES/SEC', (row) => bytesCell(row.bytes_in_rate)],
  ['OUT_BYTES/SEC', (row) => bytesCell(row.bytes_out_rate)],
];

/** Those of `top`, which are to fit a terminal of 80 columns. */
export const TOP_COLUMNS: readonly Column<EdgeRow>[] = [
  ['SRC', ({ src, src_namespace: namespace }) => named(namespace, src)],
  ['DST', ({ dst, dst_namespace: namespace }) => named(namespace, dst)],
  ['CLUSTER', (row) => textCell(row.dst_cluster)],
  SUCCESS,
  RPS,
  ['OPEN', (row) => String(row.in_flight)],
  REASON,
];

function named(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

/** What an edge is called below the table. */
export function edgeName({ src, src_namespace: from, dst, dst_namespace: to }: EdgeRow): string {
  return `${named(from, src)} → ${named(to, dst)}`;
}

/** @param windowMs what was asked for */
export function edgesText(rows: readonly EdgeRow[], wide: boolean, windowMs: number): string {
  if (rows.length === 0) return noTraffic(0, windowMs);
  return trafficTable([...OWN, ...(wide ? WIDE : []), REASON], rows, edgeName);
}
