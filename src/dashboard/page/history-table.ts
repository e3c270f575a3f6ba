import type { HistoryKind, HistoryRow, HistoryTable } from '../answers.ts';
import { ErrorNotice, useAnswer } from './asked-answer.ts';
import { type DataColumn, DataTable } from './data-table.ts';
import { TimeChoice } from './history-chart.ts';
import { html } from './markup.ts';
import { chosen } from './navigation.ts';
import { meta } from './page-store.ts';
import { pageHref } from './page-routes.ts';
import { hasText } from './search-match.ts';
import { latencyColumns, nameColumn, signalColumns, textColumn } from './signal-columns.ts';
import { Panel } from './small-parts.ts';

const COLUMNS: readonly DataColumn<HistoryRow>[] = [
  nameColumn('Name', ({ namespace, name }) =>
    namespace === '' ? undefined : pageHref('services', [namespace, name], { range: chosen('range') }),
  ),
  textColumn('source', 'From', ({ source }) => source),
  textColumn('cluster', 'Leads to', ({ cluster }) => cluster),
  textColumn('side', 'Seen at', ({ side }) => side),
  ...signalColumns<HistoryRow>(),
  ...latencyColumns<HistoryRow>(),
];

/** The same rows over a time, by Prometheus; hidden where there is none. */
export function HistoryTables({ kind }: { readonly kind: HistoryKind }) {
  const known = meta.value?.prometheus ?? null;
  if (known === null) return '';
  return html`<${Panel} title="Over a time" note=${html`<${TimeChoice} />`}>
    ${chosen('range') === '' ? '' : html`<${Rows} kind=${kind} />`}
  </${Panel}>`;
}

function Rows({ kind }: { readonly kind: HistoryKind }) {
  const range = chosen('range');
  const query = new URLSearchParams({ kind, range }).toString();
  const { value, error } = useAnswer<HistoryTable>(`/api/history/table.json?${query}`);
  if (error !== undefined) return html`<${ErrorNotice} error=${error} label="Prometheus does not answer" />`;
  if (value === undefined) return html`<div class="skeleton block"></div>`;
  const rows = value.rows.filter(({ namespace, name }) => hasText(chosen('q'), `${namespace}/${name}`));
  const keyOf = ({ source, namespace, name, cluster, side }: HistoryRow) =>
    [source, namespace, name, cluster, side].join('/');
  return html`<${DataTable}
    caption=${`Over the last ${range}`}
    sortKey="history"
    rows=${rows.map((row) => [keyOf(row), row])}
    columns=${COLUMNS}
    empty=${html`<p>Prometheus knows nothing of that time.</p>`}
  />`;
}
