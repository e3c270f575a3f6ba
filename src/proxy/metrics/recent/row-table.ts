import type { Turns } from '../../../telemetry/pieces.ts';
import { FieldSums, NO_ROWS, type PackedRows, RowPacker } from './packed-rows.ts';
import { FIELDS, type FieldNames, type RowShape } from './row-shapes.ts';

/** What rows have counted up to a moment, by their key. */
export class RowTotals {
  readonly rows: PackedRows;
  readonly #places = new Map<string, number>();
  #keyBytes = 0;

  constructor(rows: PackedRows) {
    this.rows = rows;
    for (const [at, key] of rows.keys.entries()) {
      this.#places.set(key, at);
      // A place in a map, and the text.
      this.#keyBytes += 64 + key.length;
    }
  }

  /** Where a row is among `rows`; undefined: it has counted nothing. */
  placeOf(key: string): number | undefined {
    return this.#places.get(key);
  }

  /** What it takes, keys included, bytes. Keys of steps are the same texts. */
  get size(): number {
    return this.rows.size + this.#keyBytes;
  }
}

/** No row has counted anything. */
export const NO_TOTALS = new RowTotals(NO_ROWS);

/** Two moments of the same rows: what they had counted at the second one, and what they did in between. */
export interface Advance {
  readonly totals: RowTotals;
  readonly step: PackedRows;
}

/** What rows have counted since a moment; traffic has its turns in between. */
export async function advance<R>(
  shape: RowShape<R>,
  rows: readonly R[],
  since: RowTotals,
  { names, turns }: { readonly names: FieldNames; readonly turns: Turns },
): Promise<Advance> {
  const [totals, step, sums] = [new RowPacker(), new RowPacker(), new FieldSums(FIELDS)];
  for (const { key: named, row, forgotten } of withForgotten(shape, rows, since)) {
    const place = since.placeOf(named);
    // The same text is kept once.
    const key = place === undefined ? named : (since.rows.keys[place] ?? named);
    const each = shape.each(row, names);
    totals.add(key, each);
    each(sums.add);
    if (place !== undefined) since.rows.each(place, sums.subtract);
    for (const at of forgotten) since.rows.each(at, sums.subtract);
    if (sums.any) step.add(key, sums.each);
    else sums.clear();
    if (turns.due) await turns.rest();
  }
  return { totals: new RowTotals(totals.rows()), step: step.rows() };
}

interface KeyedRow<R> {
  readonly key: string;
  readonly row: R;
  /** Places of rows whose numbers count here since they were forgotten. */
  readonly forgotten: readonly number[];
}

/** Rows by their keys, that of all others as the last one. */
export function* withForgotten<R>(
  shape: RowShape<R>,
  rows: readonly R[],
  since: RowTotals,
): Generator<KeyedRow<R>> {
  const others = shape.key(shape.other);
  const seen = new Set([others]);
  let other: R | undefined;
  for (const row of rows) {
    const key = shape.key(row);
    if (key === others) other = row;
    else yield { key, row, forgotten: [] };
    seen.add(key);
  }
  if (other === undefined) return;
  const gone = shape.inherited === true ? [...since.rows.keys.keys()] : [];
  const forgotten = gone.filter((at) => !seen.has(since.rows.keys[at] ?? ''));
  yield { key: others, row: other, forgotten };
}

/** What rows have counted in several steps together. */
export async function together(steps: readonly PackedRows[], turns: Turns): Promise<PackedRows> {
  const [sums, packer] = [new FieldSums(FIELDS), new RowPacker()];
  const found = await Occurrences.in(steps, turns);
  for (const key of found.keys()) {
    found.add(key, sums);
    packer.add(key, sums.each);
    if (turns.due) await turns.rest();
  }
  return packer.rows();
}

/**
 * The busiest rows, as many as there is room for; the others as one.
 * @param key of that one
 * @param bytes room for all
 */
export async function fitted(
  rows: PackedRows,
  key: string,
  bytes: number,
  turns: Turns,
): Promise<PackedRows> {
  if (rows.size <= bytes) return rows;
  const [sums, packer] = [new FieldSums(FIELDS), new RowPacker()];
  let left = bytes - MERGED_BYTES;
  for (const at of await byRequests(rows, turns)) {
    left -= rows.sizeOf(at);
    const name = rows.keys[at];
    if (left < 0 || name === undefined || name === key) rows.each(at, sums.add);
    else packer.add(name, (put) => rows.each(at, put));
    if (turns.due) await turns.rest();
  }
  packer.add(key, sums.each);
  return packer.rows();
}

/** The places of rows, those with the most requests first. */
async function byRequests(rows: PackedRows, turns: Turns): Promise<number[]> {
  const requests: number[] = [];
  for (const at of rows.keys.keys()) {
    requests.push(0);
    rows.each(at, (field, value) => {
      if (field === 0) requests[at] = value;
    });
    if (turns.due) await turns.rest();
  }
  return [...requests.keys()].sort((a, b) => (requests[b] ?? 0) - (requests[a] ?? 0));
}

/** Rows after which it is looked whether a turn is due: the clock costs as much as some of them. */
const LOOK = 64;
/** Room for the row of all that are merged. */
const MERGED_BYTES = 1024;

/** Where the rows with the same key are in several steps. */
export class Occurrences {
  readonly #last = new Map<string, number>();
  /** Of each: its step, its place there, and the one before with the same key (-1: none). */
  readonly #steps: PackedRows[] = [];
  readonly #places: number[] = [];
  readonly #before: number[] = [];

  /** Those in some steps; there may be hundreds of thousands. */
  static async in(steps: readonly PackedRows[], turns: Turns): Promise<Occurrences> {
    const found = new Occurrences();
    for (const step of steps)
      for (const [at, key] of step.keys.entries()) {
        found.#put(step, at, key);
        if (at % LOOK === 0 && turns.due) await turns.rest();
      }
    return found;
  }

  #put(step: PackedRows, at: number, key: string): void {
    this.#before.push(this.#last.get(key) ?? -1);
    this.#last.set(key, this.#steps.length);
    this.#steps.push(step);
    this.#places.push(at);
  }

  keys(): Iterable<string> {
    return this.#last.keys();
  }

  /** Adds all of one key. */
  add(key: string, sums: FieldSums): void {
    for (let at = this.#last.get(key) ?? -1; at >= 0; at = this.#before[at] ?? -1)
      this.#steps[at]?.each(this.#places[at] ?? 0, sums.add);
  }
}
