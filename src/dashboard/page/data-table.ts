import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { count } from './format.ts';
import { classes, type Content, html } from './markup.ts';
import { choose, chosen } from './navigation.ts';
import { type Ordering, orderedRows, readOrdering, shownSlice, writeOrdering } from './table-order.ts';

/** A column of a table. */
export interface DataColumn<T> {
  readonly key: string;
  readonly head: string;
  readonly cell: (row: T) => Content;
  /** By what rows can be ordered; absent: they cannot. */
  readonly sort?: (row: T) => number | string | null;
  /** Numbers stand at the end. */
  readonly number?: boolean;
  /** Whether it names the row. */
  readonly name?: boolean;
  /** Whether a row has something in it: where none has, there is no such column. */
  readonly has?: (row: T) => boolean;
  /**
   * Longest text of a cell: with so many rows that they are not all drawn, the column is as wide from the
   * start.
   */
  readonly text?: (row: T) => string;
}

interface DataTableProps<T extends object> {
  /** Says what is in it, to everybody. */
  readonly caption: string;
  /** Whether the caption is for readers of screens only, as a heading says the same. */
  readonly quietCaption?: boolean;
  /** By a key that stays: rows that are the same object are not drawn again. In the order that is shown. */
  readonly rows: readonly (readonly [key: string, row: T])[];
  readonly columns: readonly DataColumn<T>[];
  /** Word of the query that has the order, where there are several tables on a page. */
  readonly sortKey?: string;
  /** Whether a row is an old picture. */
  readonly isOld?: (row: T) => boolean;
  readonly isFailing?: (row: T) => boolean;
  /** Whether all rows are drawn, however many: theirs are of different heights. */
  readonly all?: boolean;
  /** In place of rows. */
  readonly empty: Content;
}

/** More rows than this are drawn only where they are seen. */
const ALL_ROWS = 60;
/** Rows above and below those that are seen. */
const MARGIN_ROWS = 4;

/**
 * A table whose head stays, that can be ordered by its columns, and that draws no more rows than are seen.
 */
export function DataTable<T extends object>(props: DataTableProps<T>) {
  const { caption, quietCaption = false, rows, sortKey = 'sort', all = false, empty } = props;
  const columns = useFilledColumns(props);
  const ordering = readOrdering(chosen(sortKey));
  const ordered = useMemo(() => orderedRows(rows, columns, ordering), [rows, columns, chosen(sortKey)]);
  const window = useWindow(ordered.length, all ? Infinity : ALL_ROWS);
  const cache = useMemo(() => new WeakMap<T, { old: boolean; index: number; drawn: VNode }>(), [columns]);
  if (rows.length === 0) return html`<div class="table-empty">${empty}</div>`;
  const { from, to } = window.slice();
  const isWindowed = !all && ordered.length > ALL_ROWS;
  const row = ([key, of]: readonly [string, T], at: number) => {
    const old = props.isOld?.(of) ?? false;
    const index = isWindowed ? from + at : -1;
    const known = cache.get(of);
    // The same element again: nothing of it is compared.
    if (known !== undefined && known.old === old && known.index === index) return known.drawn;
    const drawn = drawnRow(key, of, { columns, index, old, failing: props.isFailing?.(of) ?? false });
    cache.set(of, { old, index, drawn });
    return drawn;
  };
  return html`<div
    class=${classes('table', isWindowed && 'windowed')}
    role="region"
    aria-label=${caption}
    tabindex="0"
    ref=${window.box}
    onScroll=${isWindowed ? window.onScroll : undefined}
  >
    <table aria-rowcount=${isWindowed ? ordered.length + 1 : undefined}>
      <caption class=${classes(quietCaption && 'hidden-text')}>
        ${caption}${isWindowed ? html` <span class="rows-count">${count(ordered.length)}</span>` : ''}
      </caption>
      <thead>
        <tr>${columns.map((column) => headCell(column, ordering, sortKey, isWindowed ? rows : []))}</tr>
      </thead>
      <tbody>
        ${spacer('above', from * window.rowHeight())}
        ${ordered.slice(from, to).map(row)}
        ${spacer('below', (ordered.length - to) * window.rowHeight())}
      </tbody>
    </table>
  </div>`;
}

/** The columns that have something; the same list as long as they are the same. */
function useFilledColumns<T extends object>({ columns, rows }: DataTableProps<T>): readonly DataColumn<T>[] {
  const filled = columns.filter(({ has }) => has === undefined || rows.some(([, row]) => has(row)));
  return useMemo(() => filled, [columns, filled.map(({ key }) => key).join()]);
}

interface RowLook<T> {
  readonly columns: readonly DataColumn<T>[];
  /** From 0; less: all rows are there. */
  readonly index: number;
  readonly old: boolean;
  readonly failing: boolean;
}

function drawnRow<T>(key: string, row: T, { columns, index, old, failing }: RowLook<T>): VNode {
  return html`<tr
    key=${key}
    class=${classes(old && 'old', failing && 'failing')}
    aria-rowindex=${index < 0 ? undefined : index + 2}
  >
    ${columns.map((column) =>
      column.name === true
        ? html`<th scope="row" key=${column.key}>${column.cell(row)}</th>`
        : html`<td key=${column.key} class=${classes(column.number === true && 'number')}>${column.cell(row)}</td>`,
    )}
  </tr>`;
}

function headCell<T>(
  column: DataColumn<T>,
  ordering: Ordering,
  sortKey: string,
  rows: readonly (readonly [string, T])[],
) {
  const { key, head, number = false, sort, text } = column;
  const isBy = ordering.key === key;
  const longest =
    text === undefined ? 0 : rows.reduce((most, [, row]) => Math.max(most, text(row).length), 0);
  const style = longest === 0 ? undefined : { minInlineSize: `${longest * 0.56 + 1.5}em` };
  const order = () => choose(sortKey, writeOrdering(ordering, key, number), true);
  return html`<th
    scope="col"
    key=${key}
    class=${classes(number && 'number')}
    style=${style}
    aria-sort=${isBy ? (ordering.down ? 'descending' : 'ascending') : undefined}
  >
    ${
      sort === undefined
        ? html`<span>${head}</span>`
        : html`<button type="button" class="sort" onClick=${order}>
            ${head}<svg viewBox="0 0 8 12" aria-hidden="true"><path d="M4 1 7 5H1z" class=${classes(isBy && !ordering.down && 'on')} /><path d="M4 11 1 7h6z" class=${classes(isBy && ordering.down && 'on')} /></svg>
          </button>`
    }
  </th>`;
}

/** Keeps the place of rows that are not drawn. */
function spacer(key: string, height: number) {
  return height <= 0
    ? ''
    : html`<tr key=${key} class="spacer" aria-hidden="true"><td style=${{ blockSize: `${height}px` }}></td></tr>`;
}

/** Which rows are seen. */
function useWindow(total: number, most: number) {
  const box = useRef<HTMLDivElement>(null);
  const state = useMemo(() => ({ top: signal(0), height: signal(640), row: signal(36) }), []);
  useLayoutEffect(() => {
    const { current } = box;
    if (current === null || total <= most) return undefined;
    const measure = () => {
      state.height.value = current.clientHeight;
      const first = current.querySelector<HTMLElement>('tbody tr:not(.spacer)');
      if (first !== null) state.row.value = first.getBoundingClientRect().height;
    };
    const observer = new ResizeObserver(measure);
    observer.observe(current);
    measure();
    return () => observer.disconnect();
  }, [total > most]);
  const onScroll = ({ currentTarget }: Event) => {
    if (!(currentTarget instanceof HTMLElement)) return;
    // Drawn again once for each few rows, not for each pixel.
    const step = state.row.value * (MARGIN_ROWS / 2);
    state.top.value = Math.floor(currentTarget.scrollTop / step) * step;
  };
  const slice = () =>
    total <= most
      ? { from: 0, to: total }
      : shownSlice(total, {
          top: state.top.value,
          height: state.height.value,
          row: state.row.value,
          margin: MARGIN_ROWS,
        });
  return { box, onScroll, slice, rowHeight: () => state.row.value };
}
