/** In which order rows of a table stand, and which of them are drawn. Pure. */

/** By which column, and whether from the greatest. */
export interface Ordering {
  /** Empty: as they come. */
  readonly key: string;
  readonly down: boolean;
}

/** Reads the word of the query: `rps`, `-rps`. */
export function readOrdering(word: string): Ordering {
  return word.startsWith('-') ? { key: word.slice(1), down: true } : { key: word, down: false };
}

/**
 * What the next click on a column makes of it: first, the other way, as they come. Numbers begin with the
 * greatest.
 */
export function writeOrdering({ key, down }: Ordering, clicked: string, isNumber: boolean): string {
  const first = isNumber ? `-${clicked}` : clicked;
  const second = isNumber ? clicked : `-${clicked}`;
  if (key !== clicked) return first;
  return down === isNumber ? second : '';
}

interface Sortable<T> {
  readonly key: string;
  readonly sort?: (row: T) => number | string | null;
}

/** Rows by a column; what has no value stands at the end, whichever way. */
export function orderedRows<T>(
  rows: readonly (readonly [string, T])[],
  columns: readonly Sortable<T>[],
  { key, down }: Ordering,
): readonly (readonly [string, T])[] {
  const by = columns.find((column) => column.key === key)?.sort;
  if (by === undefined) return rows;
  const keyed = rows.map((row) => ({ row, value: by(row[1]) }));
  const sign = down ? -1 : 1;
  return keyed.sort((a, b) => compared(a.value, b.value, sign)).map(({ row }) => row);
}

function compared(a: number | string | null, b: number | string | null, sign: number): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return a < b ? -sign : a > b ? sign : 0;
}

interface Judged {
  readonly failing: boolean;
  readonly rps?: number | null;
}

/** Rows of a table of the store as they are shown: failing ones first, then the busiest, then by key. */
export function failingFirst<T extends Judged>(
  table: Readonly<Record<string, T>>,
  wanted: (row: T) => boolean = () => true,
): [string, T][] {
  const found: { readonly rank: number; readonly entry: [string, T] }[] = [];
  // A thousand rows are ordered with each picture: by a number that is made once for each.
  for (const [key, row] of Object.entries(table))
    if (wanted(row)) found.push({ rank: (row.rps ?? -1) + (row.failing ? ABOVE_ALL : 0), entry: [key, row] });
  found.sort((a, b) => b.rank - a.rank || (a.entry[0] < b.entry[0] ? -1 : 1));
  return found.map(({ entry }) => entry);
}

/** More requests a second than there can be. */
const ABOVE_ALL = 1e12;

interface Seen {
  /** How far is scrolled, how high the box and one row are, pixels. */
  readonly top: number;
  readonly height: number;
  readonly row: number;
  /** Rows around those that are seen. */
  readonly margin: number;
}

/** The rows that are drawn. */
export function shownSlice(
  total: number,
  { top, height, row, margin }: Seen,
): { readonly from: number; readonly to: number } {
  const seen = Math.ceil(height / row);
  const first = Math.max(0, Math.min(Math.floor(top / row), total - seen));
  return { from: Math.max(0, first - margin), to: Math.min(total, first + seen + 2 * margin) };
}
