import type { GatewayStats } from '../api/answers/stats-report.ts';
import type { LinkReason } from '../api/link/link-status.ts';
import { answersOf, type ClusterReading, type LinkFacts } from './cluster-reading.ts';
import { origin, roundTrips } from './service-rows.ts';
import { baseRow, type StatRow } from './stat-row.ts';
import { rounded, Tally } from './tally.ts';
import { FINE, signalsVerdict, type Verdict } from './traffic-verdict.ts';

/** `stat link`: each Link with what its egress sends there. */
export function linkRows(readings: readonly ClusterReading[]): StatRow[] {
  return readings.flatMap((reading) => {
    const rtts = roundTrips(reading);
    return reading.links.map((link): StatRow => {
      const { name, cluster, mirrors } = link;
      const tally = tallyTo(reading, cluster);
      const gateways = gatewaysOf(reading, cluster);
      const of = { namespace: '', kind: 'link', name, cluster, side: 'egress' } as const;
      return {
        ...baseRow({ ...of, ...origin(reading, 'egress') }, tally, linkVerdict(link, gateways, tally)),
        source: reading.cluster,
        gateways: gateways.length === 0 ? null : aliveOf(gateways),
        rtt_ms: rounded(rtts.get(cluster)),
        streams: gateways.length === 0 ? null : sum(gateways.map(({ streams }) => streams)),
        mirrors,
      };
    });
  });
}

/** `stat cluster`: each cluster that was asked, and each that is linked, whoever links it. */
export function clusterRows(readings: readonly ClusterReading[]): StatRow[] {
  const linked = readings.flatMap(({ links }) => links.map(({ cluster }) => cluster));
  const names = [...new Set([...readings.map(({ cluster }) => cluster), ...linked])];
  return names.map((cluster) => clusterRow(cluster, readings));
}

function clusterRow(cluster: string, readings: readonly ClusterReading[]): StatRow {
  const sources = readings.filter(({ links }) => links.some((link) => link.cluster === cluster));
  const own = readings.find((reading) => reading.cluster === cluster);
  const gateways = sources.flatMap((reading) => gatewaysOf(reading, cluster));
  const tally = new Tally();
  for (const reading of sources) tally.include(tallyTo(reading, cluster));
  const links = sources.flatMap((reading) =>
    reading.links.filter((link) => link.cluster === cluster).map((link) => ({ link, reading })),
  );
  const verdicts = links.map(({ link, reading }) =>
    linkVerdict(link, gatewaysOf(reading, cluster), tallyTo(reading, cluster)),
  );
  const rtts = sources.flatMap((reading) => roundTrips(reading).get(cluster) ?? []);
  const asked = [...new Set([...sources, ...(own === undefined ? [] : [own])])];
  const of = { namespace: '', kind: 'cluster', name: cluster, cluster, side: null } as const;
  const from = asked.map((reading) => origin(reading, 'egress', 'gateway'));
  const whole = {
    window_s: Math.max(0, ...from.map(({ window_s: seconds }) => seconds)),
    from: {
      asked: sum(from.map((one) => one.from.asked)),
      answered: sum(from.map((one) => one.from.answered)),
    },
  };
  const mirrors = links.map(({ link }) => link.mirrors).filter((count) => count !== null);
  return {
    ...baseRow({ ...of, ...whole }, tally, verdicts.find(({ failing }) => failing) ?? FINE),
    links: links.length,
    gateways: gateways.length === 0 ? null : aliveOf(gateways),
    rtt_ms: rounded(rtts.length === 0 ? undefined : sum(rtts) / rtts.length),
    mirrors: mirrors.length === 0 ? null : sum(mirrors),
    ...(own === undefined ? {} : { exports: own.services.filter(({ exported }) => exported).length }),
  };
}

/** All that egresses of a cluster have sent to another one. */
function tallyTo(reading: ClusterReading, cluster: string): Tally {
  const tally = new Tally();
  for (const { window } of answersOf(reading, 'egress'))
    for (const target of window.report.targets)
      if (target.there?.cluster === cluster) tally.add(target, window.ms);
  return tally;
}

/** Addresses of a cluster's gateways, each once for each egress pod. */
function gatewaysOf(reading: ClusterReading, cluster: string): GatewayStats[] {
  return answersOf(reading, 'egress').flatMap(({ window }) =>
    window.report.gateways.filter((one) => one.cluster === cluster),
  );
}

/** An address lives where one pod reaches it. */
function aliveOf(gateways: readonly GatewayStats[]): { alive: number; known: number } {
  const byAddress = Map.groupBy(gateways, ({ address }) => address);
  const alive = [...byAddress.values()].filter((all) => all.some(({ state }) => state === 'alive'));
  return { alive: alive.length, known: byAddress.size };
}

/** What a condition says goes first, then what egress pods have found, then how requests fare. */
function linkVerdict({ trouble }: LinkFacts, gateways: readonly GatewayStats[], tally: Tally): Verdict {
  if (trouble !== undefined) return { failing: true, ...trouble };
  if (gateways.length > 0 && gateways.every(({ state }) => state === 'dead' || state === 'suspect')) {
    const message = `egress pods reach none of ${aliveOf(gateways).known} gateway addresses`;
    return { failing: true, reason: 'EgressCannotReach' satisfies LinkReason, message };
  }
  return signalsVerdict(tally);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
