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
  const range = chosen('range');
  const known = meta.value?.prometheus;
  const isOn = range !== '' && typeof known === 'string';
  const path = isOn ? `/api/history/table.json?${new URLSearchParams({ kind, range }).toString()}` : '';
  const { value, error, state } = useAnswer<HistoryTable>(path);
  if (typeof known !== 'string') return '';
  const rows = (value?.rows ?? []).filter(({ namespace, name }) =>
    hasText(chosen('q'), `${namespace}/${name}`),
  );
  return html`<${Panel} title="Over a time" note=${html`<${TimeChoice} />`}>
    ${error === undefined || !isOn ? '' : html`<${ErrorNotice} error=${error} label="Prometheus does not answer" />`}
    ${isOn && state === 'asking' && value === undefined ? html`<div class="skeleton block"></div>` : ''}
    ${
      !isOn || value === undefined
        ? ''
        : html`<${DataTable}
            caption=${`Over the last ${range}`}
            sortKey="history"
            rows=${rows.map((row) => [`${row.source}/${row.namespace}/${row.name}/${row.cluster}/${row.side}`, row])}
            columns=${COLUMNS}
            empty=${html`<p>Prometheus knows nothing of that time.</p>`}
          />`
    }
  </${Panel}>`;
}
