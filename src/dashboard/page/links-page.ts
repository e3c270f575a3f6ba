import type { LinkShown } from '../snapshot.ts';
import { type DataColumn, DataTable } from './data-table.ts';
import { count, latency, part, several } from './format.ts';
import { HistoryTables } from './history-table.ts';
import { html } from './markup.ts';
import { pageHref } from './page-routes.ts';
import { FilterBox, isShown, isWanted } from './page-shell.ts';
import { noRows, PageHead, standIn } from './page-states.ts';
import { clusterOf, isFailingRow, isOldRow, tables } from './page-store.ts';
import {
  latencyColumns,
  nameColumn,
  numberColumn,
  messageColumn,
  signalColumns,
  textColumn,
  verdictColumn,
} from './signal-columns.ts';
import { failingFirst } from './table-order.ts';

/** Every Link of every cluster that is asked. */
export function LinksPage() {
  const blank = standIn();
  if (blank !== undefined) return html`<${PageHead} title="Links" />${blank}`;
  const all = failingFirst(tables.links.value, isShown);
  const rows = all.filter(([, row]) => isWanted(row, row.name, row.cluster));
  return html`<${PageHead} title="Links" note=${several(all.length, 'Link')} />
    <${FilterBox} label="Filter by name or cluster" />
    <${HistoryTables} kind="link" />
    <${DataTable}
      caption="Links"
      quietCaption=${true}
      rows=${rows}
      columns=${COLUMNS}
      isOld=${isOldRow}
      isFailing=${isFailingRow}
      empty=${noRows('Link', rows.length < all.length)}
    />`;
}

const COLUMNS: readonly DataColumn<LinkShown>[] = [
  nameColumn('Link', ({ context, name }) => pageHref('links', [context, name])),
  textColumn('from', 'From', ({ source, context }) => source ?? clusterOf(context)),
  textColumn('to', 'To', ({ cluster }) => cluster),
  verdictColumn(),
  {
    key: 'gateways',
    head: 'Gateways',
    number: true,
    sort: ({ gateways }) => gateways?.alive ?? null,
    cell: ({ gateways }) =>
      part(
        gateways === null || gateways === undefined ? null : { ready: gateways.alive, known: gateways.known },
      ),
  },
  numberColumn('rtt', 'Round trip', (row) => row.rtt_ms, latency),
  ...signalColumns<LinkShown>(),
  ...latencyColumns<LinkShown>(),
  numberColumn('streams', 'Streams', ({ streams }) => streams, count),
  numberColumn('mirrors', 'Mirrors', ({ mirrors }) => mirrors, count),
  messageColumn(),
];
