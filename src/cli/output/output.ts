import { largest } from '../../base/extremes.ts';
import { stringify } from 'yaml';
import { z } from 'zod';
import { plainText, visibleJson } from '../../base/text.ts';

/** `-o`: a table for people, JSON or YAML for programs. */
export const outputFlag = z.enum(['table', 'json', 'yaml'], { error: 'must be table, json or yaml' });
export type Output = z.output<typeof outputFlag>;

/** A table with aligned columns, as kubectl prints them: the last column as it is, no trailing blanks. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => largest(lines.map((line) => (line[column] ?? '').length)));
  const print = (line: readonly string[]) =>
    line
      .map((cell, column) => (column === head.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('   ')
      .trimEnd();
  return `${lines.map(print).join('\n')}\n`;
}

/** The value for a program, or the text for people, in which nobody's words move their terminal. */
export function render(output: Output, value: unknown, text: () => string): string {
  if (output === 'json') return jsonText(value, 2);
  return output === 'yaml' ? yamlText(value) : plainText(text());
}

/** JSON in which nobody's words move a terminal. @param indent undefined: on one line */
export function jsonText(value: unknown, indent?: number): string {
  return `${visibleJson(JSON.stringify(value, null, indent))}\n`;
}

/** YAML; where a text has what moves a terminal, as JSON, which is YAML too and can say it visibly. */
function yamlText(value: unknown): string {
  const text = stringify(value, { lineWidth: 0 });
  return plainText(text) === text ? text : jsonText(value, 2);
}

/** `-o` of verbs that print manifests. */
export const manifestFormat = z.enum(['yaml', 'json'], { error: 'must be yaml or json' });

/** Manifests for `kubectl apply -f -`. JSON is one List, so that the output is JSON and kubectl takes it. */
export function manifestText(manifests: readonly object[], format: z.output<typeof manifestFormat>): string {
  if (format === 'yaml')
    return manifests
      .map((manifest) => `---\n${stringify(manifest, { lineWidth: 0, aliasDuplicateObjects: false })}`)
      .join('');
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }, null, 2)}\n`;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/**
 * An age as kubectl writes it (apimachinery, `duration.HumanDuration`): `90s`, `5m12s`, `3h20m`, `2d4h`. What
 * is less than two seconds in the future is `0s`, as clocks differ a little.
 */
export function age(seconds: number): string {
  const whole = Math.trunc(seconds);
  if (whole < -1) return '<invalid>';
  if (whole < 2 * MINUTE) return `${Math.max(0, whole)}s`;
  if (whole < 10 * MINUTE) return inUnits(whole, [MINUTE, 'm'], [1, 's']);
  if (whole < 3 * HOUR) return inUnits(whole, [MINUTE, 'm']);
  if (whole < 8 * HOUR) return inUnits(whole, [HOUR, 'h'], [MINUTE, 'm']);
  if (whole < 2 * DAY) return inUnits(whole, [HOUR, 'h']);
  if (whole < 8 * DAY) return inUnits(whole, [DAY, 'd'], [HOUR, 'h']);
  if (whole < 2 * YEAR) return inUnits(whole, [DAY, 'd']);
  return whole < 8 * YEAR ? inUnits(whole, [YEAR, 'y'], [DAY, 'd']) : inUnits(whole, [YEAR, 'y']);
}

type Unit = readonly [seconds: number, sign: string];

/** Whole units, and whole smaller ones of the rest where there are any. */
function inUnits(seconds: number, [unit, sign]: Unit, smaller?: Unit): string {
  const rest = smaller === undefined ? 0 : Math.floor((seconds % unit) / smaller[0]);
  return `${Math.floor(seconds / unit)}${sign}${rest === 0 ? '' : `${rest}${smaller?.[1] ?? ''}`}`;
}
