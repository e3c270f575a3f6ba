import { LINKERD_CHECK_PREFIX } from '../api/names.ts';
import type { CheckOutcome } from './check.ts';

/** URL of the checks' explanations, followed by the id. */
const HINTS = 'https://linkerd.io/2/checks/#';
const OWN_HINTS = 'https://github.com/linkspan/linkspan/blob/main/docs/reference/checks.md#';

/** Report in the format of `linkerd check -o json`. */
export interface CheckReport {
  readonly success: boolean;
  readonly categories: readonly {
    readonly categoryName: string;
    readonly checks: readonly {
      readonly description: string;
      readonly hint?: string;
      readonly error?: string;
      readonly result: 'success' | 'warning' | 'error';
    }[];
  }[];
}

/** Colours a mark where the terminal supports it. */
export type Paint = (tone: 'green' | 'yellow' | 'red', text: string) => string;

export function hintOf(id: string): string {
  return (id.startsWith(LINKERD_CHECK_PREFIX) ? HINTS : OWN_HINTS) + id;
}

export function checkReport(outcomes: readonly CheckOutcome[], success: boolean): CheckReport {
  const categories = new Map<string, CheckReport['categories'][number]['checks'][number][]>();
  for (const { category, check, finding } of outcomes) {
    const checks = categories.get(category) ?? [];
    categories.set(category, checks);
    if (finding.result === 'skipped') continue;
    const bad = finding.result !== 'success';
    checks.push({
      description: check.text,
      ...(bad ? { hint: hintOf(check.id), error: finding.text ?? '' } : {}),
      result: finding.result,
    });
  }
  return {
    success,
    categories: [...categories].map(([categoryName, checks]) => ({ categoryName, checks })),
  };
}

/** The heading of a category. */
export function headingText(name: string): string {
  return `${name}\n${'-'.repeat(name.length)}\n`;
}

/** One check as Linkerd prints it: mark and text, the findings below, and the hint where it failed. */
export function outcomeText({ check, finding }: CheckOutcome, paint: Paint): string {
  const marks = {
    success: paint('green', '√'),
    skipped: '-',
    warning: paint('yellow', '‼'),
    error: paint('red', '×'),
  };
  const said = finding.text ?? '';
  const indented = said
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `    ${line}\n`)
    .join('');
  if (finding.result === 'skipped') return `${marks.skipped} ${check.text} (skipped: ${said})\n`;
  const hint = finding.result === 'success' ? '' : `    see ${hintOf(check.id)} for hints\n`;
  return `${marks[finding.result]} ${check.text}\n${indented}${hint}`;
}

/** The last line. */
export function summaryText(success: boolean, paint: Paint): string {
  return `\nStatus check results are ${success ? paint('green', '√') : paint('red', '×')}\n`;
}
