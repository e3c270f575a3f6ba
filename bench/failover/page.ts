/** The generated part of docs/failover.md. Pure. */
import { type Row, tableOf } from './summary.ts';

const BEGIN = '<!-- figures: written by npm run bench:failover -- --write -->';
const END = '<!-- /figures -->';

export interface Measured {
  readonly command: string;
  readonly machine: string;
  readonly date: Date;
  readonly rows: readonly Row[];
}

/** The page with another table. @throws Error when the page has no marks for it */
export function withTable(page: string, measured: Measured): string {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`the page has no ${BEGIN} … ${END}`);
  return `${before}${BEGIN}\n${blockOf(measured)}\n${END}${after}`;
}

function blockOf({ command, machine, date, rows }: Measured): string {
  return [
    '```',
    command,
    '```',
    '',
    `Measured ${date.toISOString().slice(0, 10)} on ${machine}, ${runsOf(rows)} of each fault.`,
    '',
    tableOf(rows),
  ].join('\n');
}

function runsOf(rows: readonly Row[]): string {
  const counts = [...new Set(rows.map(({ runs }) => runs))].sort((a, b) => a - b);
  const [least = 0, most = least] = [counts[0], counts.at(-1)];
  return least === most ? `${least} runs` : `${least} to ${most} runs`;
}
