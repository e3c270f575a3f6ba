import type { LinkObject } from '../../api/link/link-schema.ts';
import type { BackendRow, GroupRow } from '../queries/failover-rows.ts';
import { age, table } from './output.ts';

const HEAD = ['SERVICE', 'TIER', 'BACKEND', 'SHARE', 'READY', 'PATH', 'STATE', 'SINCE'] as const;

/** The table of federated Services, and below it what is said of each as a whole. */
export function failoverText(rows: readonly GroupRow[], now: number): string {
  if (rows.length === 0) return 'No federated Service.\n';
  const several = new Set(rows.map(({ namespace }) => namespace)).size > 1;
  const nameOf = ({ namespace, service }: GroupRow) => (several ? `${namespace}/${service}` : service);
  const lines = rows.flatMap((row) => row.backends.map((one) => [nameOf(row), ...cells(one, now)]));
  const said = rows.map((row) => `${nameOf(row)}: ${summary(row)}\n`);
  return `${table(HEAD, lines)}\n${said.join('')}`;
}

/** What stands above all when every cluster was lost in one moment; empty: that is not so. */
export function networkText(links: readonly LinkObject[]): string {
  const clusters = links
    .filter(({ status }) => status?.conditions?.some(({ reason }) => reason === 'OwnNetworkSuspected'))
    .map(({ spec }) => spec?.targetClusterName ?? '');
  return clusters.length === 0
    ? ''
    : `OwnNetworkSuspected: ${clusters.sort().join(', ')} died in one moment; is this cluster cut off?\n\n`;
}

/** What changes when some clusters are gone, below the table of how it is then. */
export function planText(
  before: readonly GroupRow[],
  after: readonly GroupRow[],
  { without, now }: { readonly without: readonly string[]; readonly now: number },
): string {
  const formerly = new Map(before.map((row) => [idOf(row), row]));
  const verdict = after.flatMap((row) => {
    const said = verdictOf(row, formerly.get(idOf(row)));
    return said === undefined ? [] : [`${idOf(row)}: ${said}\n`];
  });
  const all = `Without ${without.join(', ')}:\n\n${failoverText(after, now)}`;
  return `${all}\n${verdict.length === 0 ? 'Every Service would have enough.\n' : verdict.join('')}`;
}

/** What would be wrong with a Service, if that is not so today; undefined: nothing. */
function verdictOf(row: GroupRow, today: GroupRow | undefined): string | undefined {
  const { reason, backends, endpointsShort, capacityRatio, refused } = row;
  if (reason === 'NoHealthyBackend') {
    const left = backends.filter(isLeft).map(({ name, state }) => `${name} (${state})`);
    return left.length === 0 ? 'nobody could serve' : `nobody would be left but ${left.join(', ')}`;
  }
  if (refused > (today?.refused ?? 0)) return `${percent(refused)} of the requests would be refused`;
  return endpointsShort && today?.endpointsShort !== true
    ? `capacity would be short, ${percent(capacityRatio)} of what is asked`
    : undefined;
}

/**
 * Whether it serves, and can be reached: nobody else could, so somebody's wish or its own state is passed
 * over.
 */
function isLeft({ share, path, ready }: BackendRow): boolean {
  return share > 0 && path !== 'dead' && ready !== 0;
}

function idOf({ namespace, service }: GroupRow): string {
  return `${namespace}/${service}`;
}

function cells(one: BackendRow, now: number): string[] {
  const { tier, name, share, ready, expected, path, usableSince } = one;
  return [
    String(tier),
    name,
    percent(share),
    ready === null ? '-' : `${ready}/${String(expected)}`,
    name === 'local' ? '-' : (path ?? 'unknown'),
    stateOf(one, now),
    // From the beginning of time: it was never withdrawn.
    usableSince === null || usableSince === 0 ? '-' : age((now - usableSince) / 1000),
  ];
}

function stateOf({ state, reason, flaps, usableSince, holdMs }: BackendRow, now: number): string {
  if (state === 'Held' && usableSince !== null) {
    const left = Math.max(0, Math.ceil((usableSince + holdMs - now) / 1000));
    return `Held (withdrawn ${flaps} times, ${age(left)} left)`;
  }
  return reason === 'PrimaryServing' || reason === 'FactsUnknown' ? state : `${state} (${reason})`;
}

function summary(row: GroupRow): string {
  const { nextChangeAt, leftOut, refused, reason } = row;
  return [
    reason,
    capacityText(row),
    ...(refused > 0 ? [`refused: ${percent(refused)}`] : []),
    ...(leftOut.length > 0 ? [`in no tier: ${leftOut.join(', ')}`] : []),
    ...(nextChangeAt === null ? [] : [`next change: ${new Date(nextChangeAt).toISOString().slice(11, 19)}Z`]),
  ].join(' · ');
}

function capacityText({ endpointsShort, demand, capacityRatio }: GroupRow): string {
  if (!endpointsShort) return 'CapacityShort: no';
  const part = percent(capacityRatio);
  return {
    unheard: `CapacityShort: ${part} of what is asked`,
    strained: `CapacityShort: ${part} of what is asked, and requests fail or wait`,
    met: `CapacityShort: no (${part} of what is expected, but no request fails or waits)`,
  }[demand];
}

function percent(part: number): string {
  return `${(part * 100).toFixed(2)}%`;
}
