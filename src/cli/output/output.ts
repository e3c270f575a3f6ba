import { stringify } from 'yaml';
import { z } from 'zod';

/** `-o`: a table for people, JSON or YAML for programs. */
export const outputFlag = z.enum(['table', 'json', 'yaml'], { error: 'must be table, json or yaml' });
export type Output = z.output<typeof outputFlag>;

/** A table with aligned columns, as kubectl prints them: the last column as it is, no trailing blanks. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const print = (line: readonly string[]) =>
    line
      .map((cell, column) => (column === head.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('   ')
      .trimEnd();
  return `${lines.map(print).join('\n')}\n`;
}

/** The value for a program, or the text for people. */
export function render(output: Output, value: unknown, text: () => string): string {
  if (output === 'json') return `${JSON.stringify(value, null, 2)}\n`;
  return output === 'yaml' ? stringify(value, { lineWidth: 0 }) : text();
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

/** An age as kubectl writes it: `12s`, `5m`, `3h`, `2d`. */
export function age(seconds: number): string {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
