import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { ErrorAnswer, TopEvent } from '../answers.ts';
import type { ErrorWords } from '../snapshot.ts';
import { ErrorNotice } from './asked-answer.ts';
import { DataTable } from './data-table.ts';
import { html } from './markup.ts';
import { chosen } from './navigation.ts';
import { FilterBox, isShown, isWanted } from './page-shell.ts';
import { isFailingRow } from './page-store.ts';
import { edgeColumns, type EdgeShown } from './service-columns.ts';
import { Foreign } from './small-parts.ts';
import { failingFirst } from './table-order.ts';

const COLUMNS = edgeColumns();

/** Pairs of client and Service, anew every two seconds as long as it is shown. */
export function TopTable() {
  const seen = useSignal<TopEvent | undefined>(undefined);
  const error = useSignal<ErrorWords | undefined>(undefined);
  const isHeld = useSignal(false);
  useEffect(() => {
    const source = new EventSource('/live/top');
    source.addEventListener('top', (event: MessageEvent<string>) => {
      error.value = undefined;
      if (!isHeld.peek()) seen.value = JSON.parse(event.data) as TopEvent;
    });
    source.addEventListener('refused', (event: MessageEvent<string>) => {
      error.value = (JSON.parse(event.data) as ErrorAnswer).error;
      source.close();
    });
    return () => source.close();
  }, []);
  const table = (seen.value?.rows ?? {}) as Readonly<Record<string, EdgeShown>>;
  const rows = failingFirst<EdgeShown>(
    table,
    (row) =>
      isShown(row) && isWanted(row, `${row.src_namespace}/${row.src}`, `${row.dst_namespace}/${row.dst}`),
  );
  return html`<div class="above-table">
      <${FilterBox} label="Filter by client or Service" />
      <button type="button" aria-pressed=${isHeld.value ? 'true' : 'false'} onClick=${() => (isHeld.value = !isHeld.value)}>Hold</button>
    </div>
    ${error.value === undefined ? '' : html`<${ErrorNotice} error=${error.value} label="Nobody answers" />`}
    ${(seen.value?.unread ?? []).map((line) => html`<p class="muted" key=${line}><${Foreign} text=${line} /></p>`)}
    <${DataTable}
      caption="Pairs of client and Service"
      quietCaption=${true}
      rows=${rows}
      columns=${COLUMNS}
      isFailing=${isFailingRow}
      empty=${seen.value === undefined ? html`<p>Asking …</p>` : html`<p>No traffic in the last 10 s${chosen('q') === '' ? '' : ' that is so'}.</p>`}
    />`;
}
