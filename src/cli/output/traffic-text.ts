import { largest } from '../../base/extremes.ts';
import type { SignalFields } from '../../traffic/tally.ts';
import { percent, type ToldVerdict } from '../../traffic/traffic-verdict.ts';
import { plainWords } from '../../base/text.ts';
import { table } from './output.ts';

/** A column: its head, and its cell of a row. */
export type Column<T> = readonly [head: string, cell: (row: T) => string];

type Signal<K extends keyof SignalFields> = Column<Pick<SignalFields, K>>;

/** The columns that tables of every kind have. */
export const SUCCESS: Signal<'success'> = ['SUCCESS', ({ success }) => successCell(success)];
export const RPS: Signal<'rps'> = ['RPS', ({ rps }) => rateCell(rps)];
export const P99: Signal<'latency_ms_p99'> = ['LATENCY_P99', (row) => timeCell(row.latency_ms_p99)];
export const LATENCIES: readonly Signal<'latency_ms_p50' | 'latency_ms_p95' | 'latency_ms_p99'>[] = [
  ['LATENCY_P50', (row) => timeCell(row.latency_ms_p50)],
  ['LATENCY_P95', (row) => timeCell(row.latency_ms_p95)],
  P99,
];
export const REASON: Column<ToldVerdict> = ['REASON', ({ reason }) => textCell(reason)];

/** Longest cell, and longest line below a table, characters. */
const MAX_CELL = 253;
const MAX_LINE = 2000;

/** Below so many columns a table that does not fit becomes a list. */
const NARROW = 80;

/**
 * A table, and below it a line for each row with something to say: `NAME: REASON: message → advice`. On a
 * terminal that is narrow, where a table would wrap, each row is a few lines.
 * @param columns of the terminal; undefined: it is none
 */
export function trafficTable<T extends ToldVerdict>(
  cells: readonly Column<T>[],
  rows: readonly T[],
  nameOf: (row: T) => string,
  columns = process.stdout.isTTY ? process.stdout.columns : undefined,
): string {
  const head = cells.map(([name]) => name);
  // Clients of other clusters choose what they are called.
  const lines = rows.map((row) => cells.map(([, cell]) => plainWords(cell(row), MAX_CELL)));
  const wide = table(head, lines);
  const width = largest(wide.split('\n').map((line) => line.length));
  const isNarrow = columns !== undefined && columns < NARROW && width > columns;
  const text = isNarrow ? lines.map((line) => list(head, line)).join('\n') : wide;
  const told = rows.filter(({ message }) => message !== '').map((row) => troubleLine(nameOf(row), row));
  return told.length === 0 ? text : `${text}\n${told.join('')}`;
}

/** `HEAD: cell`, several to a line where that is short. */
function list(head: readonly string[], line: readonly string[]): string {
  const width = Math.max(...head.map((name) => name.length));
  return line.map((cell, at) => `${(head[at] ?? '').padEnd(width)} ${cell}`.trimEnd() + '\n').join('');
}

function troubleLine(name: string, { reason, message, advice }: ToldVerdict): string {
  const what = [name, reason, message].filter((part) => part !== '').join(': ');
  return `${plainWords(what, MAX_LINE)}${advice === '' ? '' : ` → ${advice}`}\n`;
}

/** `99.95%`; `-` where there was nothing. */
export function successCell(success: number | null): string {
  return success === null ? '-' : percent(success);
}

/** Requests each second, with as many digits as they take: `0.05`, `12.3`, `1204`. */
export function rateCell(rate: number | null | undefined): string {
  if (rate === null || rate === undefined) return '-';
  if (rate === 0) return '0';
  if (rate < 0.1) return rate.toFixed(2);
  return rate < 100 ? rate.toFixed(1) : String(Math.round(rate));
}

/** `0.4ms`, `12ms`, `1.25s`. */
export function timeCell(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '-';
  if (ms < 10) return `${ms.toFixed(1)}ms`;
  return ms < 10_000 ? `${Math.round(ms)}ms` : `${(ms / 1000).toFixed(1)}s`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Bytes, by 1,024. */
export function bytesCell(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return '-';
  let [value, at] = [bytes, 0];
  while (value >= 1024 && at < UNITS.length - 1) [value, at] = [value / 1024, at + 1];
  return `${at === 0 ? Math.round(value) : value.toFixed(1)}${UNITS[at] ?? ''}`;
}

/** A number that may not be known. */
export function countCell(count: number | null | undefined): string {
  return count === null || count === undefined ? '-' : String(count);
}

/** Text that may be empty. */
export function textCell(text: string | null | undefined): string {
  return text === null || text === undefined || text === '' ? '-' : text;
}

/** `2/3`: so many are well. */
export function partCell(
  part: { readonly ready: number; readonly known: number } | null | undefined,
): string {
  return part === null || part === undefined ? '-' : `${part.ready}/${part.known}`;
}

/**
 * What is said where nothing has passed.
 * @param seconds that were looked at
 * @param which is looked at; default: all
 */
export function noTraffic(seconds: number, windowMs: number, which = ''): string {
  const looked = seconds > 0 ? seconds : windowMs / 1000;
  const last = looked >= 60 ? `${Math.round(looked / 60)}m` : `${Math.round(looked)}s`;
  return `No traffic${which === '' ? '' : ` ${which}`} in the last ${last}.\n`;
}
