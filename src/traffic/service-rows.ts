import { DEFAULT_OBJECTIVE } from '../api/objective.ts';
import type { ServiceReport } from '../api/answers/admin-answers.ts';
import type { TargetStats } from '../api/answers/stats-report.ts';
import { splitTargetKey } from '../api/ports/target-key.ts';
import {
  answersOf,
  type ClusterReading,
  type Endpoints,
  fromOf,
  type ServiceFacts,
  windowSeconds,
} from './cluster-reading.ts';
import { baseRow, type BothEnds, type StatRow } from './stat-row.ts';
import { Tally } from './tally.ts';
import { isBadMirror, type TrafficFacts, trafficVerdict } from './traffic-verdict.ts';
import { whereOf } from './where.ts';

/** Kinds of failures that are a time that was over, and that are a limit. */
const TIMEOUTS = ['connect timeout', 'request timeout', 'response timeout', 'idle timeout'] as const;
const LIMITS = ['rate limited', 'load shed'] as const;

/** Everything that is known of one Service at one end. */
export interface ServiceTraffic {
  readonly namespace: string;
  /** Of a member of a federated Service with `@` and the cluster. */
  readonly name: string;
  readonly side: 'egress' | 'gateway';
  /** Where its requests go, if to one other cluster. */
  readonly there: string | undefined;
  readonly tally: Tally;
  /** Each second; undefined: processes do not say. */
  retries: number | undefined;
  /** What its gateway's balancers have, of all pods the most. */
  balanced: Endpoints | undefined;
  facts: ServiceFacts | undefined;
  mirror: ServiceReport | undefined;
}

/** What has been found in a reading: rows of several kinds are made of it. */
const foundIn = new WeakMap<ClusterReading, readonly ServiceTraffic[]>();

/** All Services that gateways and egresses of a cluster have counted, or that are exported or mirrored. */
export function serviceTraffic(reading: ClusterReading): readonly ServiceTraffic[] {
  const known = foundIn.get(reading) ?? findServices(reading);
  foundIn.set(reading, known);
  return known;
}

function findServices(reading: ClusterReading): ServiceTraffic[] {
  const found = new FoundServices();
  for (const side of ['gateway', 'egress'] as const)
    for (const { window } of answersOf(reading, side))
      for (const target of window.report.targets) {
        const { namespace, name } = targetName(target, side);
        count(found.of(side, namespace, name, target.there?.cluster), target, window.ms);
      }
  for (const facts of reading.services) found.isSaid(facts);
  for (const { cluster, mirrors = [] } of reading.reports)
    for (const report of mirrors) found.isReported(report, cluster);
  return found.all;
}

type ServiceSide = ServiceTraffic['side'];

/** Services by where they are counted and what they are called. */
class FoundServices {
  readonly #found = new Map<string, ServiceTraffic>();

  get all(): ServiceTraffic[] {
    return [...this.#found.values()];
  }

  of(side: ServiceSide, namespace: string, name: string, there?: string): ServiceTraffic {
    const key = `${side}\n${namespace}\n${name}`;
    const known = this.#found.get(key);
    if (known !== undefined) return known;
    const made: ServiceTraffic = {
      namespace,
      name,
      side,
      there,
      tally: new Tally(),
      retries: undefined,
      balanced: undefined,
      facts: undefined,
      mirror: undefined,
    };
    this.#found.set(key, made);
    return made;
  }

  /** What the API server says of one. It is shown whether or not anybody has asked for it. */
  isSaid(facts: ServiceFacts): void {
    const { namespace, name, mirror, exported } = facts;
    if (mirror !== undefined) this.of('egress', namespace, name, mirror.cluster);
    else if (exported) this.of('gateway', namespace, name);
    for (const side of ['gateway', 'egress'] as const) {
      const known = this.#known(side, namespace, name);
      if (known !== undefined) known.facts = facts;
    }
  }

  /** What a controller says of a mirror. One that is not there is shown if it should be. */
  isReported(report: ServiceReport, cluster: string): void {
    const namespace = report.service.slice(0, Math.max(0, report.service.indexOf('/')));
    const known = this.#known('egress', namespace, report.local);
    if (known === undefined && !isBadMirror(report.reason)) return;
    this.of('egress', namespace, report.local, cluster).mirror = report;
  }

  #known(side: ServiceSide, namespace: string, name: string): ServiceTraffic | undefined {
    return this.#found.get(`${side}\n${namespace}\n${name}`);
  }
}

/**
 * What an egress counts by member is called so; what a gateway serves besides Kubernetes by its whole name.
 */
export function targetName(
  { label, service, namespace }: TargetStats,
  side: 'egress' | 'gateway',
): { readonly namespace: string; readonly name: string } {
  if (side === 'gateway') return { namespace, name: service };
  const { name: whole } = splitTargetKey(label);
  return { namespace, name: whole.slice(whole.indexOf('/') + 1) };
}

function count(of: ServiceTraffic, target: TargetStats, ms: number): void {
  of.tally.add(target, ms);
  const { retries, endpoints } = target;
  if (retries !== undefined) of.retries = (of.retries ?? 0) + retries / (ms / 1000);
  if (endpoints === undefined) return;
  const { ready = 0, known = 0 } = of.balanced ?? {};
  of.balanced = { ready: Math.max(ready, endpoints.ready), known: Math.max(known, endpoints.known) };
}

const isMember = ({ name }: ServiceTraffic) => name.includes('@');
const isMirror = ({ there }: ServiceTraffic) => there !== undefined;

/** `stat svc`: every Service that clients ask for by its name, exported ones and mirrors. */
export function serviceRows(readings: readonly ClusterReading[]): StatRow[] {
  return readings.flatMap((reading) =>
    serviceTraffic(reading)
      .filter((one) => !isMember(one))
      .map((one) => serviceRow(reading, one, 'svc')),
  );
}

/** The same without mirrors: those are in `mirrorRows`. */
export function ownServiceRows(reading: ClusterReading): StatRow[] {
  return serviceTraffic(reading)
    .filter((one) => !isMember(one) && !isMirror(one))
    .map((one) => serviceRow(reading, one, 'svc'));
}

/**
 * `stat mirror`: what leads to one other cluster, mirrors and members of federated Services. Where the
 * other cluster was asked, too, both ends are in one row.
 */
export function mirrorRows(readings: readonly ClusterReading[]): StatRow[] {
  const ends = exportsByUid(readings);
  return readings.flatMap((reading) => {
    const rtts = roundTrips(reading);
    return serviceTraffic(reading)
      .filter(isMirror)
      .map((one) => {
        const row = serviceRow(reading, one, 'mirror');
        const uid = one.facts?.mirror?.remoteUid ?? '';
        const other = uid === '' ? undefined : ends.get(uid);
        const rtt = rtts.get(one.there ?? '');
        return { ...row, rtt_ms: rtt ?? null, ...(other && { ends: bothEnds(one.tally, other, rtt) }) };
      });
  });
}

function bothEnds(egress: Tally, gateway: Tally, rtt: number | undefined): BothEnds {
  const times = { egressMs: egress.quantile(0.5), gatewayMs: gateway.quantile(0.5) };
  return {
    egress_ms_p99: egress.fields.latency_ms_p99,
    gateway_ms_p99: gateway.fields.latency_ms_p99,
    rtt_ms: rtt ?? null,
    where: whereOf({ ...times, rttMs: rtt, gatewayOwnMs: gateway.waitMs }) ?? null,
  };
}

/** What gateways have counted of each exported Service, by its UID. */
function exportsByUid(readings: readonly ClusterReading[]): Map<string, Tally> {
  const found = new Map<string, Tally>();
  for (const reading of readings)
    for (const { side, facts, tally } of serviceTraffic(reading))
      if (side === 'gateway' && facts !== undefined && facts.uid !== '') found.set(facts.uid, tally);
  return found;
}

/** The mean round trip to each cluster, milliseconds, as egresses measure it. */
export function roundTrips(reading: ClusterReading): Map<string, number> {
  const measured = answersOf(reading, 'egress').flatMap(({ window }) => window.report.gateways);
  const byCluster = Map.groupBy(
    measured.filter(({ rttMs }) => rttMs !== undefined),
    ({ cluster }) => cluster,
  );
  const mean = (all: readonly number[]) => all.reduce((sum, ms) => sum + ms, 0) / all.length;
  return new Map(
    [...byCluster].map(([cluster, all]) => [cluster, mean(all.map(({ rttMs }) => rttMs?.mean ?? 0))]),
  );
}

/** `stat ns`: the same by namespace; a namespace fails with the worst of its Services. */
export function namespaceRows(readings: readonly ClusterReading[]): StatRow[] {
  return readings.flatMap((reading) => {
    const own = serviceTraffic(reading).filter((one) => !isMember(one) && one.namespace !== '');
    return [...Map.groupBy(own, ({ namespace }) => namespace)].map(([namespace, all]) => {
      const tally = new Tally();
      for (const one of all) tally.include(one.tally);
      const verdicts = all.map((one) => ({ one, verdict: trafficVerdict(factsOf(one)) }));
      const bad = verdicts.find(({ verdict }) => verdict.failing);
      const verdict =
        bad === undefined ? trafficVerdict({ tally, objective: DEFAULT_OBJECTIVE }) : bad.verdict;
      const message = bad === undefined ? verdict.message : `${bad.one.name}: ${verdict.message}`;
      const of = { namespace, kind: 'ns', name: namespace, cluster: reading.cluster, side: null } as const;
      return baseRow({ ...of, ...origin(reading, 'gateway', 'egress') }, tally, { ...verdict, message });
    });
  });
}

function serviceRow(reading: ClusterReading, one: ServiceTraffic, kind: 'mirror' | 'svc'): StatRow {
  const { namespace, name, side, there, tally } = one;
  const cluster = kind === 'mirror' ? (there ?? reading.cluster) : reading.cluster;
  const of = { namespace, kind, name, cluster, side, ...origin(reading, side) };
  const facts = factsOf(one);
  return {
    ...baseRow(of, tally, trafficVerdict(facts), facts.endpoints),
    retries: one.retries ?? null,
    timeouts: tally.rateOf(...TIMEOUTS),
    limited: tally.rateOf(...LIMITS),
    unauthorized: tally.rateOf('unauthorized'),
    ...(kind === 'mirror' ? { source: reading.cluster } : {}),
  };
}

function factsOf({ mirror, facts, balanced, tally }: ServiceTraffic): TrafficFacts {
  return {
    mirror,
    endpoints: balanced ?? facts?.endpoints,
    objective: facts?.objective ?? DEFAULT_OBJECTIVE,
    tally,
  };
}

/** How long was looked at, and who has said it. */
export function origin(
  reading: ClusterReading,
  ...kinds: readonly ('egress' | 'gateway')[]
): Pick<StatRow, 'from' | 'window_s'> {
  return { window_s: windowSeconds(reading, ...kinds), from: fromOf(reading, ...kinds) };
}
