/** Many runs of a fault as one row, and rows as Markdown. Pure. */
import type { Demands, Extra, Fault } from './faults.ts';
import type { Failed, RunFigures } from './figures.ts';

export interface Run extends RunFigures {
  readonly extras: readonly Extra[];
}

/** The middle, the 99th of a hundred, and the greatest of some values. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly worst: number;
}

/** All runs of a fault. */
export interface Row {
  readonly fault: Pick<Fault, 'name' | 'title' | 'demands'>;
  readonly runs: number;
  /** Undefined: in some run something was never answered. */
  readonly first: Spread | undefined;
  readonly steady: Spread;
  readonly floor: Spread;
  readonly requests: number;
  readonly failed: readonly Failed[];
  readonly reasons: ReadonlyMap<string, number>;
  readonly extras: readonly { readonly what: string; readonly text: string; readonly isMet: boolean }[];
  /** What was not reached, in words; empty: everything was. */
  readonly misses: readonly string[];
}

/** @param runs at least one */
export function rowOf(fault: Pick<Fault, 'name' | 'title' | 'demands'>, runs: readonly Run[]): Row {
  const firsts = runs.flatMap(({ firstMs }) => (firstMs === undefined ? [] : [firstMs]));
  const first = firsts.length === runs.length ? spreadOf(firsts) : undefined;
  const steady = spreadOf(runs.map(({ steadyMs }) => steadyMs));
  const extras = extrasOf(runs);
  return {
    fault,
    runs: runs.length,
    first,
    steady,
    floor: spreadOf(runs.map(({ floorMs }) => floorMs)),
    requests: sum(runs.map(({ requests }) => requests)),
    failed: added(runs),
    reasons: reasonsOf(runs),
    extras,
    misses: [
      ...missesOf(fault.demands, runs, { first, steady }),
      ...extras.filter(({ isMet }) => !isMet).map(({ what, text }) => `${what}: ${text}`),
    ],
  };
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), worst: at(1) };
}

function missesOf(
  { firstMs, steadyMs, mayFail }: Demands,
  runs: readonly Run[],
  { first, steady }: Pick<Row, 'first' | 'steady'>,
): string[] {
  const misses: string[] = [];
  if (firstMs !== undefined && (first === undefined || first.p50 > firstMs))
    misses.push(`first success ≤ ${firstMs} ms`);
  if (steadyMs !== undefined && steady.p50 > steadyMs) misses.push(`steady ≤ ${steadyMs} ms`);
  const failed = (run: Run, isIdempotent?: boolean) =>
    sum(run.failed.filter((one) => one.isIdempotent === (isIdempotent ?? one.isIdempotent)).map(countOf));
  if (mayFail === 'none' && runs.some((run) => failed(run) > 0)) misses.push('nothing failed');
  if (mayFail !== 'any' && mayFail !== 'none' && runs.some((run) => failed(run, true) > 0))
    misses.push('nothing idempotent failed');
  if (mayFail === 'in hand' && runs.some((run) => failed(run, false) > run.inHand))
    misses.push('no more failed than was in hand');
  return misses;
}

/** Times as spreads; points, of which each run has too few requests, as their mean. */
function extrasOf(runs: readonly Run[]): Row['extras'] {
  const byWhat = Map.groupBy(
    runs.flatMap(({ extras }) => extras),
    ({ what }) => what,
  );
  return [...byWhat].map(([what, all]) => {
    const [{ unit, must } = { unit: 'ms', must: undefined }] = all;
    const values = all.map(({ value }) => value);
    if (unit === 'pt') {
      const mean = sum(values) / values.length;
      return { what, text: `${mean.toFixed(1)} pt`, isMet: must === undefined || Math.abs(mean) <= must };
    }
    const spread = spreadOf(values);
    return { what, text: spreadText(spread), isMet: must === undefined || spread.p50 <= must };
  });
}

function added(runs: readonly Run[]): Failed[] {
  const all = Map.groupBy(
    runs.flatMap(({ failed }) => failed),
    ({ protocol, isIdempotent }) => `${protocol} ${isIdempotent}`,
  );
  return [...all.values()].flatMap((same) =>
    same.slice(0, 1).map((one) => ({ ...one, count: sum(same.map(countOf)) })),
  );
}

function reasonsOf(runs: readonly Run[]): Map<string, number> {
  const reasons = new Map<string, number>();
  for (const { reasons: own } of runs)
    for (const [reason, count] of own) reasons.set(reason, (reasons.get(reason) ?? 0) + count);
  return reasons;
}

/** The table of all rows. */
export function tableOf(rows: readonly Row[]): string {
  const head = [
    'fault',
    'first success, ms (p50 / p99 / worst)',
    'steady, ms (p50 / p99 / worst)',
    'floor, ms',
    'failed, idempotent',
    'failed, others',
    'also',
    'met',
  ];
  const cells = rows.map((row) => [
    row.fault.title,
    `${row.first === undefined ? 'not all' : spreadText(row.first)}${limit(row.fault.demands.firstMs)}`,
    `${spreadText(row.steady)}${limit(row.fault.demands.steadyMs)}`,
    spreadText(row.floor),
    failedText(row, true),
    failedText(row, false),
    row.extras.map(({ what, text }) => `${what}: ${text}`).join('; '),
    row.misses.length === 0 ? 'yes' : `no: ${row.misses.join('; ')}`,
  ]);
  return [head, head.map(() => '---'), ...cells].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** What the failed requests of a fault were told, the most frequent first. */
export function reasonsText({ reasons }: Row): string[] {
  return [...reasons]
    .toSorted(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${count} × ${reason.replaceAll('\n', ' ')}`);
}

function failedText({ failed, requests, runs }: Row, isIdempotent: boolean): string {
  const own = failed.filter((one) => one.isIdempotent === isIdempotent);
  if (own.length === 0) return '0';
  const each = own.map(({ protocol, count }) => `${protocol} ${count}`).join(', ');
  return `${sum(own.map(countOf))} of ${requests} in ${runs} runs: ${each}`;
}

function limit(ms: number | undefined): string {
  return ms === undefined ? '' : ` (≤ ${ms})`;
}

function spreadText({ p50, p99, worst }: Spread): string {
  return [p50, p99, worst].map((ms) => ms.toFixed(ms < 10 ? 1 : 0)).join(' / ');
}

function countOf({ count }: Failed): number {
  return count;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
