import { type DataColumn, DataTable } from './data-table.ts';
import { age, count, rate, several, latency } from './format.ts';
import { html } from './markup.ts';
import { chosen } from './navigation.ts';
import { FilterBox, isShown, isWanted, onlyFailing } from './page-shell.ts';
import { noRows, PageHead, standIn } from './page-states.ts';
import { isFailingRow, isOldRow, tables } from './page-store.ts';
import { edgeColumns, type EdgeShown } from './service-columns.ts';
import {
  nameColumn,
  numberColumn,
  messageColumn,
  signalColumns,
  textColumn,
  verdictColumn,
} from './signal-columns.ts';
import { Panel } from './small-parts.ts';
import { failingFirst } from './table-order.ts';

type ClientRow = (typeof tables.clients.value)[string];

const CLIENTS: readonly DataColumn<ClientRow>[] = [
  nameColumn('Client', () => undefined),
  textColumn('cluster', 'Cluster', ({ cluster }) => cluster),
  textColumn('side', 'Seen at', ({ side }) => side),
  verdictColumn(),
  numberColumn('targets', 'Services', ({ targets }) => targets, count),
  ...signalColumns<ClientRow>(),
  numberColumn('p99', 'p99', (row) => row.latency_ms_p99, latency),
  numberColumn('denied', 'Denied/s', ({ unauthorized }) => unauthorized, rate),
  numberColumn('last', 'Last', (row) => row.last_s, age),
  messageColumn(),
];
const EDGES = edgeColumns();

/** Who asks, and whom. */
export function ClientsPage() {
  const blank = standIn();
  if (blank !== undefined) return html`<${PageHead} title="Clients" />${blank}`;
  const all = failingFirst<ClientRow>(tables.clients.value, isShown);
  const rows = all.filter(([, row]) => isWanted(row, `${row.namespace}/${row.name}`, row.cluster));
  const pairs = failingFirst<EdgeShown>(
    tables.edges.value,
    (row) =>
      isShown(row) &&
      isWanted(row, `${row.src_namespace}/${row.src}`, `${row.dst_namespace}/${row.dst}`, row.client_id),
  );
  return html`<${PageHead} title="Clients" note=${several(all.length, 'client')} />
    <${FilterBox} label="Filter by client or Service" />
    <${DataTable}
      caption="Clients"
      quietCaption=${true}
      rows=${rows}
      columns=${CLIENTS}
      isOld=${isOldRow}
      isFailing=${isFailingRow}
      empty=${noRows('client', rows.length < all.length)}
    />
    <${Panel} title="Who asks whom">
      <${DataTable}
        caption="Pairs of client and Service"
        quietCaption=${true}
        sortKey="pairs"
        rows=${pairs}
        columns=${EDGES}
        isOld=${isOldRow}
        isFailing=${isFailingRow}
        empty=${noRows('pair', chosen('q') !== '' || onlyFailing())}
      />
    </${Panel}>`;
}
