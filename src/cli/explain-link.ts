import type { LinkRow } from './links.ts';
import { meaningOfLinkReason } from './explain-words.ts';
import { age } from './output.ts';

/** A Link and each of its conditions, with what its reason means. */
export function explainLinkText(row: LinkRow): string {
  const facts: [string, string][] = [
    ['Link', `${row.name}, to cluster ${row.cluster}`],
    ['Gateway', row.gateway === '' ? 'none' : row.gateway],
    ['Mirrors', row.mirrors === null ? 'not counted yet' : String(row.mirrors)],
    ['Kept by', row.keptBy ?? 'no replica that can be seen'],
    ['Age', row.ageSeconds === null ? '-' : age(row.ageSeconds)],
  ];
  const conditions = Object.entries(row.conditions).map(([type, { status, reason, message }]) => {
    const said = reason === '' ? 'not written yet' : `${reason}${message === '' ? '' : `: ${message}`}`;
    const meaning = meaningOfLinkReason(reason);
    return `${type}=${status}\n  ${said}\n${meaning === '' ? '' : `  ${meaning}\n`}`;
  });
  return `${facts.map(([label, text]) => `${label.padEnd(12)}${text}\n`).join('')}\n${conditions.join('')}`;
}
