import type { ProcessRow } from '../snapshot.ts';
import { type DataColumn, DataTable } from './data-table.ts';
import { age, count, latency, part, rate, several } from './format.ts';
import { html } from './markup.ts';
import { FilterBox, isShown, isWanted } from './page-shell.ts';
import { noRows, PageHead, standIn } from './page-states.ts';
import { isFailingRow, isOldRow, tables } from './page-store.ts';
import { numberColumn, messageColumn, successShare, textColumn } from './signal-columns.ts';
import { Reason } from './small-parts.ts';
import { Status } from './status-mark.ts';
import { failingFirst } from './table-order.ts';
import { rowTone, type Said } from './tones.ts';

const COLUMNS: readonly DataColumn<ProcessRow>[] = [
  {
    key: 'name',
    head: 'Pod',
    name: true,
    sort: ({ name }) => name,
    text: ({ name }) => name,
    cell: ({ name }) => html`<bdi>${name}</bdi>`,
  },
  textColumn('kind', 'Kind', ({ kind }) => kind),
  textColumn('cluster', 'Cluster', ({ cluster }) => cluster),
  {
    key: 'state',
    head: 'State',
    sort: ({ failing, ready }) => (failing ? 0 : ready ? 2 : 1),
    cell: (row) =>
      html`<${Status} said=${readiness(row)} />${row.reason === '' ? '' : html` <${Reason} reason=${row.reason} />`}`,
  },
  {
    key: 'certificate',
    head: 'Certificate',
    number: true,
    sort: (row) => row.certificate_left_s,
    cell: (row) => html`<span title=${row.identity ?? ''}>${left(row.certificate_left_s)}</span>`,
  },
  {
    key: 'synced',
    head: 'In step',
    number: true,
    sort: ({ synced }) => (synced === null ? null : synced.ok - synced.known),
    cell: ({ synced }) => part(synced === null ? null : { ready: synced.ok, known: synced.known }),
  },
  numberColumn('oldest', 'Oldest word', (row) => row.oldest_s, age),
  numberColumn('rps', 'Req/s', (row) => row.requests_rps, rate),
  {
    key: 'success',
    head: 'Success',
    number: true,
    sort: ({ success }) => success,
    cell: successShare,
  },
  numberColumn('p99', 'p99', (row) => row.latency_ms_p99, latency),
  numberColumn('connections', 'Connections', ({ connections }) => connections, count),
  numberColumn('streams', 'Streams', ({ streams }) => streams, count),
  numberColumn('workers', 'Workers', ({ workers }) => workers, count),
  textColumn('cpu', 'CPU', ({ cpu }) => cpu),
  textColumn('memory', 'Memory', ({ memory }) => memory),
  numberColumn('restarts', 'Restarts', ({ restarts }) => restarts, count),
  textColumn('version', 'Version', ({ version }) => version),
  {
    key: 'anchors',
    head: 'Anchors',
    number: true,
    sort: (row) => row.anchors_left_s,
    cell: (row) => left(row.anchors_left_s),
  },
  messageColumn(),
];

function readiness(row: ProcessRow): Said {
  if (row.failing || row.reason !== '') return rowTone({ ...row, rps: null });
  return row.ready ? { tone: 'good', word: 'Ready' } : { tone: 'idle', word: 'Not ready' };
}

function left(seconds: number | null): string {
  if (seconds === null) return '–';
  return seconds < 0 ? `ended ${age(-seconds)} ago` : age(seconds);
}

/** Every pod of every installation. */
export function ProcessesPage() {
  const isEmpty = Object.keys(tables.processes.value).length === 0;
  const blank = isEmpty ? standIn() : undefined;
  if (blank !== undefined) return html`<${PageHead} title="Processes" />${blank}`;
  const all = failingFirst<ProcessRow>(tables.processes.value, isShown);
  const rows = all.filter(([, row]) => isWanted(row, row.name, row.kind, row.cluster, row.version ?? ''));
  const versions = new Set(all.flatMap(([, { version }]) => version ?? []));
  const note = `${several(all.length, 'pod')} of ${several(versions.size, 'version')}`;
  return html`<${PageHead} title="Processes" note=${note} />
    <${FilterBox} label="Filter by pod, kind, cluster or version" />
    <${DataTable}
      caption="Pods of Linkspan"
      quietCaption=${true}
      rows=${rows}
      columns=${COLUMNS}
      isOld=${isOldRow}
      isFailing=${isFailingRow}
      empty=${noRows('pod', rows.length < all.length)}
    />`;
}
