import { LINK_CONDITIONS } from '../../api/link/link-status.ts';
import type { LinkRow } from '../queries/link-rows.ts';
import { age, table } from './output.ts';

/** The table of Links, and below it the problems of each. */
export function linksText(rows: readonly LinkRow[]): string {
  return withTroubles(rows, HEAD, cells);
}

/**
 * The same with columns from the controllers: how long ago the target was last heard, and when the
 * credentials expire.
 */
export function wideLinksText(rows: readonly LinkRow[]): string {
  return withTroubles(rows, [...HEAD, 'LAST WORD', 'CREDENTIALS UNTIL'], (row) => [
    ...cells(row),
    row.lastWordSeconds === null ? '-' : age(row.lastWordSeconds),
    row.credentialsExpireAt ?? '-',
  ]);
}

const HEAD = [
  'NAME',
  'CLUSTER',
  'GATEWAY',
  'CREDENTIALS',
  'API',
  'ALIVE',
  'SYNCED',
  'MIRRORS',
  'KEPT BY',
  'AGE',
] as const;

function cells(row: LinkRow): string[] {
  return [
    row.name,
    row.cluster,
    row.gateway === '' ? '-' : row.gateway,
    ...LINK_CONDITIONS.map((type) => row.conditions[type]?.status ?? 'Unknown'),
    row.mirrors === null ? '-' : String(row.mirrors),
    row.keptBy ?? '-',
    row.ageSeconds === null ? '-' : age(row.ageSeconds),
  ];
}

function withTroubles(
  rows: readonly LinkRow[],
  head: readonly string[],
  cellsOf: (row: LinkRow) => string[],
): string {
  if (rows.length === 0) return 'There are no Links. `linkspan link` makes them.\n';
  const troubles = rows.flatMap(({ name, conditions }) =>
    Object.entries(conditions)
      .filter(([, { status, reason }]) => status !== 'True' && reason !== '')
      .map(([type, { reason, message }]) => `${name}: ${type}: ${reason}: ${message}\n`),
  );
  return table(head, rows.map(cellsOf)) + (troubles.length === 0 ? '' : `\n${troubles.join('')}`);
}
