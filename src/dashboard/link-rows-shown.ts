import type { LinkReport } from '../api/answers/admin-answers.ts';
import { LINK_CONDITIONS } from '../api/link/link-status.ts';
import { answersOf, type ClusterReading } from '../traffic/cluster-reading.ts';
import { linkRows } from '../traffic/link-traffic-rows.ts';
import type { StatRow } from '../traffic/stat-row.ts';
import { rounded } from '../traffic/tally.ts';
import type { ClusterFacts, LinkDetail } from './cluster-facts.ts';
import type { ConditionShown, LinkShown, TrunkRow } from './snapshot.ts';

/** What to do about a reason constant, or a kind of failure; empty where there is nothing. */
export type AdviceFor = (reason: string) => string;

/**
 * Every Link of a cluster, with all that is known of it.
 * @param now milliseconds since the epoch
 */
export function linksShown(
  context: string,
  { reading, links }: Pick<ClusterFacts, 'links' | 'reading'>,
  adviceFor: AdviceFor,
  now: number,
): LinkShown[] {
  const details = new Map(links.map((link) => [link.name, link]));
  const reports = new Map(reading.reports.map((one) => [one.link.slice(one.link.indexOf('/') + 1), one]));
  return linkRows([reading]).map((row): LinkShown => {
    const detail = details.get(row.name);
    return {
      ...withoutSources(row),
      advice: row.failing ? adviceFor(row.reason) : row.advice,
      context,
      address: detail?.gateway ?? '',
      conditions: conditionsOf(detail, adviceFor),
      keptBy: detail?.keptBy ?? null,
      importPolicy: detail?.importPolicy ?? {},
      trunks: trunksOf(reading, row.cluster),
      ...toldOf(reports.get(row.name), now),
    };
  });
}

/** What is the same in all rows of a context stands there. */
export function withoutSources<T extends Pick<StatRow, 'from' | 'window_s'>>(
  row: T,
): Omit<T, 'from' | 'window_s'> {
  const { from: _from, window_s: _seconds, ...rest } = row;
  return rest;
}

function conditionsOf(detail: LinkDetail | undefined, adviceFor: AdviceFor): ConditionShown[] {
  return LINK_CONDITIONS.map((type): ConditionShown => {
    const known = detail?.conditions[type];
    const { status = 'Unknown', reason = '', message = '', since = null } = known ?? {};
    const read = status === 'True' || status === 'False' ? status : 'Unknown';
    const advice = read === 'True' ? '' : adviceFor(reason);
    return { type, status: read, reason, message, advice, since };
  });
}

function toldOf(
  report: LinkReport | undefined,
  now: number,
): Pick<LinkShown, 'credentialsExpireAt' | 'lastWordAt' | 'probes' | 'reasons' | 'unwritten'> {
  const { lastWordSeconds, credentialsExpireAt = null, unwritten = [], gateway } = report ?? {};
  return {
    credentialsExpireAt,
    // Whole seconds: what is told anew in each round has not changed.
    lastWordAt: lastWordSeconds === undefined ? null : Math.round(now / 1000 - lastWordSeconds) * 1000,
    probes: gateway?.addresses ?? null,
    reasons: reasonsIn(report),
    unwritten,
  };
}

function reasonsIn(report: LinkReport | undefined): Record<string, number> {
  const all = [...(report?.mirrors ?? []), ...(report?.federated ?? [])];
  return Object.fromEntries(
    [...Map.groupBy(all, ({ reason }) => reason)].map(([reason, { length }]) => [reason, length]),
  );
}

function trunksOf(reading: ClusterReading, cluster: string): TrunkRow[] {
  return answersOf(reading, 'egress').flatMap(({ name: pod, window }) =>
    window.report.gateways
      .filter((one) => one.cluster === cluster)
      .map(({ address, state, mode, connections, streams, identity, requests, failures, rttMs }) => ({
        pod,
        address,
        state,
        mode,
        connections,
        streams,
        identity,
        rps: rounded(requests / (window.ms / 1000)) ?? 0,
        success: requests > 0 ? rounded(Math.max(0, 1 - failures / requests), 1e6) : null,
        rtt_ms: rounded(rttMs?.mean),
        least_rtt_ms: rounded(rttMs?.least),
      })),
  );
}
