import type { DataColumn } from './data-table.ts';
import { bytes, latency, rate } from './format.ts';
import { html } from './markup.ts';
import { pageHref } from './page-routes.ts';
import type { tables } from './page-store.ts';
import {
  endpointsColumn,
  latencyColumns,
  nameColumn,
  numberColumn,
  messageColumn,
  signalColumns,
  textColumn,
  verdictColumn,
} from './signal-columns.ts';
import { WhereBar } from './where-bar.ts';

/** Columns of Services and mirrors, which several pages have. */

export type ServiceRow = (typeof tables.services.value)[string];
export type MirrorRow = (typeof tables.mirrors.value)[string];
export type EdgeShown = (typeof tables.edges.value)[string];

const toService = ({ namespace, name }: { readonly namespace: string; readonly name: string }) =>
  pageHref('services', [namespace || '-', name]);

export function serviceColumns(): DataColumn<ServiceRow>[] {
  return [
    nameColumn('Service', toService),
    textColumn('cluster', 'Cluster', ({ cluster }) => cluster),
    textColumn('side', 'Seen at', ({ side }) => side),
    verdictColumn(),
    endpointsColumn(),
    ...signalColumns<ServiceRow>(),
    ...latencyColumns<ServiceRow>(),
    numberColumn('retries', 'Retries/s', ({ retries }) => retries, rate),
    numberColumn('denied', 'Denied/s', ({ unauthorized }) => unauthorized, rate),
    messageColumn(),
  ];
}

export function mirrorColumns(): DataColumn<MirrorRow>[] {
  return [
    nameColumn('Mirror', toService),
    textColumn('source', 'In', ({ source }) => source),
    textColumn('cluster', 'Leads to', ({ cluster }) => cluster),
    verdictColumn(),
    endpointsColumn(),
    ...signalColumns<MirrorRow>(),
    ...latencyColumns<MirrorRow>().filter(({ key }) => key !== 'p95'),
    numberColumn('gateway-p99', 'p99 at gateway', ({ ends }) => ends?.gateway_ms_p99, latency),
    {
      key: 'where',
      head: 'Where time goes',
      has: ({ ends }) => ends !== undefined,
      sort: ({ ends }) => ends?.where ?? null,
      cell: ({ ends }) => html`<${WhereBar} ends=${ends} />`,
    },
    messageColumn(),
  ];
}

export function edgeColumns(): DataColumn<EdgeShown>[] {
  const source: DataColumn<EdgeShown> = {
    key: 'src',
    head: 'Client',
    name: true,
    sort: ({ src_namespace: namespace, src }) => `${namespace}/${src}`,
    text: ({ src_namespace: namespace, src }) => `${namespace}/${src}`,
    cell: ({ src_namespace: namespace, src }) =>
      html`<bdi>${namespace === '' ? '' : html`<span class="namespace">${namespace}/</span>`}${src}</bdi>`,
  };
  const target: DataColumn<EdgeShown> = {
    key: 'dst',
    head: 'Service',
    sort: ({ dst_namespace: namespace, dst }) => `${namespace}/${dst}`,
    cell: ({ dst_namespace: namespace, dst }) =>
      html`<a href=${toService({ namespace, name: dst })}><bdi>${namespace}/${dst}</bdi></a>`,
  };
  return [
    source,
    textColumn('src-cluster', 'Client cluster', (row) => row.src_cluster),
    target,
    textColumn('dst-cluster', 'Cluster', (row) => row.dst_cluster),
    textColumn('via', 'Seen at', ({ via }) => via),
    verdictColumn(),
    ...signalColumns<EdgeShown>(),
    textColumn('secured', 'Secured', ({ secured }) => secured),
    numberColumn(
      'in',
      'In',
      (row) => row.bytes_in_rate,
      (value) => `${bytes(value)}/s`,
    ),
    numberColumn(
      'out',
      'Out',
      (row) => row.bytes_out_rate,
      (value) => `${bytes(value)}/s`,
    ),
    messageColumn(),
  ];
}
