import type { Turns } from '../../../telemetry/pieces.ts';
import { FieldSums, type PackedRows, RowFinder, RowPacker } from './packed-rows.ts';
import { FIELDS, type FieldNames, type RowShape } from './row-shapes.ts';

/** Two moments of the same rows: what they had counted at the second one, and what they did in between. */
export interface Advance {
  readonly totals: PackedRows;
  readonly step: PackedRows;
}

/**
 * What rows have counted since a moment; traffic has its turns in between.
 * @param since what they had counted then
 */
export async function advance<R>(
  shape: RowShape<R>,
  rows: readonly R[],
  since: PackedRows,
  { names, turns }: { readonly names: FieldNames; readonly turns: Turns },
): Promise<Advance> {
  const [totals, step, sums] = [new RowPacker(), new RowPacker(), new FieldSums(FIELDS)];
  const earlier = new RowFinder(since);
  const take = (key: string, row: R) => {
    const place = earlier.find(key);
    // The same text is kept once.
    const kept = since.keys[place] ?? key;
    totals.add(kept, (put) => shape.each(row, names, put));
    shape.each(row, names, sums.add);
    if (place >= 0) since.sumInto(sums, place, -1);
    return kept;
  };
  const end = (key: string) => {
    if (sums.any) step.add(key, sums.each);
    else sums.clear();
  };
  const others = shape.key(shape.other);
  let other: R | undefined;
  for (const row of rows) {
    const key = shape.key(row);
    if (key === others) other = row;
    else end(take(key, row));
    if (turns.due) await turns.rest();
  }
  if (other !== undefined) {
    const key = take(others, other);
    takeForgotten(shape, earlier, sums);
    end(key);
  }
  return { totals: totals.rows(), step: step.rows() };
}

/** Takes off the row of all others what it has of rows that were forgotten since. */
export function takeForgotten<R>(shape: RowShape<R>, earlier: RowFinder, sums: FieldSums): void {
  if (shape.inherited !== true) return;
  for (const place of earlier.unfound()) earlier.rows.sumInto(sums, place, -1);
}

/** What rows have counted in several steps together. */
export async function together(steps: readonly PackedRows[], turns: Turns): Promise<PackedRows> {
  const [sums, packer] = [new FieldSums(FIELDS), new RowPacker()];
  const finders = steps.map((rows) => new RowFinder(rows));
  for (let own = finders.shift(); own !== undefined; own = finders.shift()) {
    const { rows } = own;
    for (const place of own.unfound()) {
      const key = rows.keys[place] ?? '';
      rows.sumInto(sums, place, 1);
      addFound(finders, key, sums);
      packer.add(key, sums.each);
      if (turns.due) await turns.rest();
    }
  }
  return packer.rows();
}

/** Adds what several tables have of a key. */
export function addFound(finders: readonly RowFinder[], key: string, sums: FieldSums): void {
  for (let at = 0; at < finders.length; at++) {
    const finder = finders[at];
    const place = finder?.find(key) ?? -1;
    if (place >= 0) finder?.rows.sumInto(sums, place, 1);
  }
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
    if (left < 0 || name === undefined || name === key) rows.sumInto(sums, at, 1);
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

/** Room for the row of all that are merged. */
const MERGED_BYTES = 1024;
