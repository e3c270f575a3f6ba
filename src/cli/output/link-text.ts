import type { LinkRow } from '../queries/link-rows.ts';
import { alignedLabels, reasonText } from './explain-words.ts';
import { age } from './output.ts';
import { reasonAdvice } from './reason-advice.ts';

/** For people: each condition with what its reason means, and what to do about those that are not well. */
export function linkText(row: LinkRow): string {
  const conditions = Object.entries(row.conditions).flatMap(([type, { status, reason, message }]) => {
    const lines: [string, string][] = [
      [type, [status, [reason, message].filter((part) => part !== '').join(': ')].join('  ').trimEnd()],
    ];
    if (!Object.hasOwn(reasonAdvice, reason)) return lines;
    // The last meaning is that of conditions.
    const { meanings, fix } = reasonText(reason);
    lines.push(['', meanings.at(-1)?.meaning ?? '']);
    if (status !== 'True') lines.push(['', `What to do: ${fix}`]);
    return lines;
  });
  return alignedLabels([
    ['Link', row.name],
    ['Cluster', row.cluster],
    ['Gateway', row.gateway === '' ? 'none' : row.gateway],
    ['Kept by', row.keptBy ?? 'no replica'],
    ['Mirrors', row.mirrors === null ? 'not known' : String(row.mirrors)],
    ['Last word', row.lastWordSeconds === null ? 'not known' : `${age(row.lastWordSeconds)} ago`],
    ['Credentials', row.credentialsExpireAt === null ? 'no end known' : `until ${row.credentialsExpireAt}`],
    ...importLines(row),
    ...under('Not written', row.unwritten),
    ...conditions,
  ]);
}

/** Most refusals that are listed; `linkspan mirrors` lists all. */
const MAX_REFUSALS = 5;

/** The import policy and its refusals. */
function importLines({ importPolicy, refusedImports }: LinkRow): [string, string][] {
  const policy = Object.entries(importPolicy).map(([key, value]) => `${key}: ${value}`);
  const said = policy.length === 0 ? ['the defaults'] : policy;
  const refused = refusedImports ?? [];
  const more = refused.length - MAX_REFUSALS;
  const named = refused
    .slice(0, MAX_REFUSALS)
    .map(({ service, reason, why }) => `${service}: ${reason}: ${why}`);
  if (more > 0) named.push(`and ${more} more: linkspan mirrors`);
  const kept = refusedImports === null ? ['not known'] : named.length === 0 ? ['nothing'] : named;
  return [...under('Import policy', said), ...under('Kept out by it', kept)];
}

/** Several lines under one label. */
const under = (label: string, lines: readonly string[]): [string, string][] =>
  lines.map((line, at) => [at === 0 ? label : '', line]);
