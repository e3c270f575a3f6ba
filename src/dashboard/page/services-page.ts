import { DataTable } from './data-table.ts';
import { several } from './format.ts';
import { HistoryTables } from './history-table.ts';
import { html } from './markup.ts';
import { chosen } from './navigation.ts';
import { FilterBox, isShown, isWanted, ShowChoice } from './page-shell.ts';
import { noRows, PageHead, standIn } from './page-states.ts';
import { isFailingRow, isOldRow, tables } from './page-store.ts';
import { mirrorColumns, type MirrorRow, serviceColumns, type ServiceRow } from './service-columns.ts';
import { failingFirst } from './table-order.ts';

const SERVICES = serviceColumns();
const MIRRORS = mirrorColumns();

/** Every Service that is exported or mirrored. */
export function ServicesPage() {
  const blank = standIn();
  if (blank !== undefined) return html`<${PageHead} title="Services" />${blank}`;
  const isMirrors = chosen('show') === 'mirrors';
  const all = isMirrors
    ? failingFirst<MirrorRow>(tables.mirrors.value, isShown)
    : failingFirst<ServiceRow>(tables.services.value, isShown);
  const rows = all.filter(([, row]) =>
    isWanted(row, `${row.namespace}/${row.name}`, row.cluster, row.reason),
  );
  const failing = all.filter(([, row]) => row.failing).length;
  const what = isMirrors ? 'mirror' : 'Service';
  const note = `${several(all.length, what)}, ${failing === 0 ? 'none fails' : `${failing} failing`}`;
  return html`<${PageHead} title="Services" note=${note} />
    <div class="above-table">
      <${ShowChoice} first="Services" other="Mirrors, both ends" value="mirrors" />
      <${FilterBox} label="Filter by name, cluster or reason" />
    </div>
    <${HistoryTables} kind="service" />
    <${DataTable}
      key=${what}
      caption=${isMirrors ? 'Mirrors' : 'Services'}
      quietCaption=${true}
      rows=${rows}
      columns=${isMirrors ? MIRRORS : SERVICES}
      isOld=${isOldRow}
      isFailing=${isFailingRow}
      empty=${noRows(what, rows.length < all.length)}
    />`;
}
