/** Runs that are kept in a file, so that a measurement of an hour can be ended and gone on with. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { Run } from './summary.ts';

/** One line of the file. */
interface KeptRun extends Omit<Run, 'reasons'> {
  readonly fault: string;
  readonly reasons: readonly (readonly [string, number])[];
}

/** The runs in a file that `keepRun` wrote, by the name of their fault; none where there is no file. */
export function keptRuns(file: string): Map<string, Run[]> {
  const runs = new Map<string, Run[]>();
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const { fault, reasons, ...figures } = JSON.parse(line) as KeptRun;
    const run: Run = { ...figures, reasons: new Map(reasons) };
    runs.set(fault, [...(runs.get(fault) ?? []), run]);
  }
  return runs;
}

/** Appends a run, without the requests that failed or were slow one by one. */
export function keepRun(file: string, fault: string, run: Run): void {
  const kept: KeptRun = { ...run, fault, reasons: [...run.reasons], bad: [] };
  appendFileSync(file, `${JSON.stringify(kept)}\n`);
}
