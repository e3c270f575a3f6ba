import type { StatsPoint } from '../../../api/answers/stats-report.ts';
import type { Turns } from '../../../telemetry/pieces.ts';
import { quantileOf } from '../latency-histogram.ts';
import { FieldSums, type PackedRows, RowFinder } from './packed-rows.ts';
import { errorsOf, FIELDS, type FieldNames, latencyOf, type RowShape } from './row-shapes.ts';
import { addFound, takeForgotten } from './row-table.ts';
import type { Step } from './step.ts';

/** What the rows of a window are made from. */
export interface WindowParts {
  readonly names: FieldNames;
  readonly turns: Turns;
  /** The steps of the window. */
  readonly steps: readonly PackedRows[];
  /** What had been counted at the end of the last one. */
  readonly since: PackedRows;
}

/**
 * Rows with the numbers of a window: those of its steps, and what has been counted since the last one. What
 * was counted of rows that there are no more, or that had no room of their own, is in the row of all others.
 * @param rows all that has been counted up to now; they become those of the window
 */
export async function windowRows<R>(
  shape: RowShape<R>,
  rows: readonly R[],
  { names, turns, steps, since }: WindowParts,
): Promise<R[]> {
  const found = steps.map((step) => new RowFinder(step));
  const earlier = new RowFinder(since);
  const sums = new FieldSums(FIELDS);
  const sumUp = (key: string, row: R) => {
    const place = earlier.find(key);
    shape.each(row, names, sums.add);
    if (place >= 0) since.sumInto(sums, place, -1);
  };
  const others = shape.key(shape.other);
  const windowed: R[] = [];
  let { other } = shape;
  for (const row of rows) {
    const key = shape.key(row);
    if (key === others) {
      other = row;
      continue;
    }
    sumUp(key, row);
    // What has gone back (a worker has ended) takes nothing from the steps before.
    sums.floor();
    addFound(found, key, sums);
    shape.setWindow(row, sums, names);
    windowed.push(row);
    sums.clear();
    if (turns.due) await turns.rest();
  }
  if (other !== shape.other) {
    sumUp(others, other);
    takeForgotten(shape, earlier, sums);
    sums.floor();
  }
  for (const step of found) for (const place of step.unfound()) step.rows.sumInto(sums, place, 1);
  if (other !== shape.other || sums.any) {
    const last = { ...other };
    shape.setWindow(last, sums, names);
    windowed.push(last);
  }
  return windowed;
}

/** What was counted in one step, for charts. */
export async function pointOf(
  { at, from, to, rows: { targets: rows } }: Step,
  { names, turns }: Pick<WindowParts, 'names' | 'turns'>,
): Promise<StatsPoint> {
  const sums = new FieldSums(FIELDS);
  const targets: StatsPoint['targets'] = [];
  for (const [place, label] of rows.keys.entries()) {
    rows.sumInto(sums, place, 1);
    const [requests, responses, failures] = [sums.get(0), sums.get(1), sums.get(2)];
    const errors = Object.values(errorsOf(sums, names)).reduce((sum, count) => sum + count, 0);
    const [p50, p99] = [quantileOf(latencyOf(sums), 0.5), quantileOf(latencyOf(sums), 0.99)];
    const times = p50 === undefined || p99 === undefined ? {} : { p50Ms: tenths(p50), p99Ms: tenths(p99) };
    targets.push({ label, requests, responses, failures, errors, ...times });
    sums.clear();
    if (turns.due) await turns.rest();
  }
  return { at, ms: Math.round(to - from), targets };
}

/** In no more digits than they are known by. */
function tenths(ms: number): number {
  return Number(ms.toPrecision(3));
}
