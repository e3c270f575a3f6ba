/** docs/reference/reasons.md, from the words of `linkspan explain`. */
import { REASON_TABLES } from '../../src/cli/output/explain-words.ts';
import { type AnyReason, reasonAdvice } from '../../src/cli/output/reason-advice.ts';

/** The whole reference page. */
export function reasonsPage(): string {
  const anchors = new Set<string>();
  return [
    '# Reasons\n',
    'The same word stands in conditions, Events, log fields, metric labels and the docs. `linkspan explain reason WORD` says the same. This page is written by `npm run generate`.\n',
    ...REASON_TABLES.map(([of, reasons]) => `## Of ${of}\n\n${table(reasons, anchors)}`),
  ].join('\n');
}

/** @param anchors where a word stands first; `runbook_url` of an alert leads there */
function table(reasons: Readonly<Record<string, string>>, anchors: Set<string>): string {
  const rows = Object.entries(reasons).map(([reason, meaning]) => {
    const anchor = anchors.has(reason) ? '' : `<a id="${reason}"></a>`;
    anchors.add(reason);
    return `| ${anchor}\`${reason}\` | ${meaning} | ${reasonAdvice[reason as AnyReason]} |`;
  });
  return `| reason | meaning | what to do |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
}
