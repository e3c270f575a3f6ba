import { EGRESS_TRY_PAGE } from '../api/answers/admin-answers.ts';
import { EGRESS_DEMAND_PAGE } from '../api/answers/demand-report.ts';
import { STATS_PAGE, type StatsReport } from '../api/answers/stats-report.ts';
import { EGRESS_TRUNKS_PAGE } from '../api/answers/trunk-report.ts';
import { demandReports } from '../egress/demand-counts.ts';
import type { SocketAddress } from '../base/address.ts';
import { systemClock } from '../base/clock.ts';
import { publishHostNames } from '../dns/dns-metrics.ts';
import { HostNames } from '../dns/host-names.ts';
import { systemLookUp } from '../dns/system-look-up.ts';
import { ApexRouting } from '../discovery/apex-routing.ts';
import { type KubeTargetsOptions, openKubeTargets } from '../discovery/kube-targets.ts';
import type { TargetSource } from '../discovery/target-spec.ts';
import type { MeshSettings } from '../discovery/mesh-pods.ts';
import { PublishedBackends, type PublishedBackendsOptions } from '../egress/apexes/known-backends.ts';
import { NO_CLIENTS } from '../egress/clients/client.ts';
import { KubeNamespaceRules, NO_NAMESPACE_RULES } from '../egress/clients/namespace-rules.ts';
import { PodClients } from '../egress/clients/pod-clients.ts';
import { Drills } from '../egress/gateways/drills.ts';
import { Egress, type EgressOptions } from '../egress/egress.ts';
import { egressTaps } from '../egress/egress-taps.ts';
import { publishEgress } from '../egress/egress-metrics.ts';
import { GroupShares } from '../egress/shares/group-shares.ts';
import { endpointDial } from '../gateway/endpoint-dial.ts';
import { LOCAL_DOMAIN } from '../egress/routes/route-settings.ts';
import { tracedPlace } from '../egress/traced-place.ts';
import { RouteSource, type RouteSourceOptions } from '../egress/routes/route-source.ts';
import { publishIdentity } from '../identity/identity-metrics.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import type { ClusterAccess } from '../kube/client/access.ts';
import { ClusterTime } from '../kube/client/cluster-time.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { syncStats } from '../kube/informer/followed.ts';
import { clientFor } from '../kube/client/scoped-client.ts';
import type { LatencyFormat } from '../proxy/metrics/exposition-labels.ts';
import { publishCounters } from '../proxy/metrics/counters-exposition.ts';
import type { Recent } from '../proxy/metrics/recent/recent.ts';
import { openTap } from '../tap/tap.ts';
import { type AdminOptions, type AdminServer, type Health, startAdmin } from '../telemetry/admin.ts';
import { LastResort, publishProcessErrors } from '../telemetry/last-resort.ts';
import type { Logger } from '../telemetry/log.ts';
import type { LineWriter } from '../telemetry/line-writer.ts';
import { createRegistry, type Registry } from '../telemetry/registry.ts';
import { publishSpans } from '../telemetry/traces/span-counts.ts';
import { clusterName, StatsOfProcess } from './stats-of-process.ts';
import { openTaps, type Taps, type TapSettings } from './taps.ts';
import { type AccessLogSettings, openAccessLog } from './access-log-output.ts';
import { StopSignals } from './signals.ts';
import { openTracing, type Tracing, type TracingSettings } from './tracing.ts';
import { endOfStart } from './v8-tuning.ts';

/** Settings of an egress process. */
export interface EgressProcess
  extends AccessLogSettings,
    TapSettings,
    Required<Pick<EgressOptions, 'relayPolicy' | 'listenAddress' | 'streams' | 'connectionAge' | 'graceMs'>> {
  readonly log: Logger;
  /** Default both. */
  readonly latencyMetrics?: LatencyFormat;
  /** To its own cluster. */
  readonly access: ClusterAccess;
  readonly openIdentity: () => Promise<IdentitySource>;
  /** How pods of this cluster that have a mesh proxy are reached, by its own identity; undefined: plainly. */
  readonly meshOf: (identity: IdentitySource) => MeshSettings | undefined;
  /** Selectors of the Services of this cluster that join federated ones. */
  readonly memberSelectors: readonly string[];
  /** DNS domain of its cluster: the names of ServiceProfiles end with it. */
  readonly clusterDomain: string;
  /** Namespace of the Links. */
  readonly namespace: string;
  /** Those that its account may see; undefined: all. */
  readonly namespaces: readonly string[] | undefined;
  readonly admin: SocketAddress;
  /** Whether it watches pods to find out which one a connection comes from. */
  readonly clients: boolean;
  /** Undefined: requests are not traced. */
  readonly tracing: TracingSettings | undefined;
}

/** Runs an egress until the process is told to end and its flows have ended. */
export async function runEgress(options: EgressProcess): Promise<void> {
  const stops = new StopSignals();
  const { log, access, namespace, relayPolicy, listenAddress, streams, connectionAge, graceMs } = options;
  const lastResort = new LastResort({ log, clock: systemClock });
  const identity = await options.openIdentity();
  const client = clientFor(access, { clock: systemClock, random: Math.random, log }, options.namespaces);
  const shared = { clock: systemClock, random: Math.random, log };
  const clients = options.clients ? new PodClients({ ...shared, client }) : undefined;
  const namespaceRules = options.clients ? new KubeNamespaceRules({ ...shared, client }) : undefined;
  const names = new HostNames({ ...shared, lookUp: systemLookUp(shared) });
  const drills = new Drills({ ...shared, client, namespace });
  const mesh = options.meshOf(identity);
  const changed = () => routes.apexChanged();
  const domains = { clusterDomain: LOCAL_DOMAIN, profileDomain: options.clusterDomain };
  const apexes = new ApexRouting({ ...shared, ...domains, client, mesh, onChange: changed });
  const onRoutes: RouteSourceOptions['onRoutes'] = (found) => egress.update(found);
  const routes: RouteSource = new RouteSource({ ...shared, client, namespace, apexes, onRoutes });
  const targets = localTargets(options, { ...shared, client }, identity);
  const local = bothOf(targets, apexes.leaves);
  const { shares, time } = sharesOf({ ...shared, client }, routes, (cluster) => egress.provenMs(cluster));
  const { accessLog, lines } = openAccessLog('egress', options);
  const placeOf = (label: string) => tracedPlace(egress.placeOf(label), routes.links.list());
  const tracing = openTracing(options.tracing, 'egress', { ...shared, placeOf });
  const egress: Egress = new Egress({
    ...shared,
    accessLog,
    tracer: tracing.tracer,
    identity,
    clients: clients ?? NO_CLIENTS,
    namespaceRules: namespaceRules ?? NO_NAMESPACE_RULES,
    relayPolicy,
    listenAddress,
    names,
    drills,
    streams,
    connectionAge,
    graceMs,
    cluster: clusterName(process.env),
    shares,
    known: new PublishedBackends(knownFrom(routes, local)),
    local: { targets: local, dial: endpointDial },
  });
  const parts = [clients, namespaceRules, routes, drills, time];
  const registry = publishedOf(egress, {
    pods: () => clients?.size ?? 0,
    shares,
    lines,
    tracing,
    names,
    identity,
    lastResort,
    factsAgeMs: ageOf(routes, time),
    latency: options.latencyMetrics,
  });
  const taps = tapsOf(egress, registry, options);
  lastResort.surviveUncaught();
  const recent = recentOf(egress, { identity, client, log });
  try {
    const ready = () =>
      firstNotOk([egress, routes, apexes, targets, clients, namespaceRules].map((one) => one?.ready));
    const admin = await openAdmin(egress, { address: options.admin, registry, ready, taps, recent });
    for (const part of parts) part?.start();
    log.info({ identity: identity.current()?.name, server: access.server, namespace }, 'egress started');
    endOfStart();
    await stops.untilStopped(async (signal) => {
      log.info({ signal }, 'draining');
      await egress.stop();
      await taps.end();
      await admin.close();
    });
  } finally {
    recent.close();
    shares.close();
    lines.close();
    await Promise.all([...parts.map((part) => part?.stop()), apexes.stop(), targets.close()]);
    await Promise.all([identity.close(), client.close(), taps.close(), tracing.close()]);
  }
}

/** All metrics of an egress. */
function publishedOf(
  egress: Egress,
  parts: {
    readonly pods: () => number;
    readonly shares: GroupShares;
    readonly lines: LineWriter;
    readonly tracing: Tracing;
    readonly names: HostNames;
    readonly identity: IdentitySource;
    readonly lastResort: LastResort;
    readonly factsAgeMs: () => number | undefined;
    readonly latency: LatencyFormat | undefined;
  },
): Registry {
  const registry = createRegistry();
  publishCounters(registry, egress.counters, 'outbound', {
    placeOf: (label) => egress.placeOf(label),
    latency: parts.latency,
  });
  publishEgress(registry, {
    ...parts,
    refused: egress.refused,
    divisions: () => [...parts.shares.entries(), ...egress.ruleDivisions()],
    gateways: () => egress.gateways,
    accessLogDropped: () => parts.lines.dropped,
  });
  publishHostNames(registry, parts.names);
  publishIdentity(registry, parts.identity, systemClock);
  publishProcessErrors(registry, parts.lastResort);
  publishSpans(registry, parts.tracing);
  return registry;
}

/** Who may look at requests, and what they see. */
function tapsOf(egress: Egress, registry: Registry, options: EgressProcess): Taps {
  const source = egressTaps(egress, systemClock);
  return openTaps(options, {
    process: { tap: (filter, sink) => openTap(source, filter, sink) },
    registry,
    log: options.log,
  });
}

/** Opens the port for this cluster's operators. */
function openAdmin(
  egress: Egress,
  parts: Pick<AdminOptions, 'address' | 'registry' | 'ready'> & {
    readonly taps: Taps;
    readonly recent: Recent;
  },
): Promise<AdminServer> {
  const { taps, recent, ...rest } = parts;
  return startAdmin({
    ...rest,
    pages: new Map<string, (query: URLSearchParams) => unknown>([
      [EGRESS_TRY_PAGE.path, () => egress.tryGateways()],
      [EGRESS_TRUNKS_PAGE.path, () => egress.trunks],
      [EGRESS_DEMAND_PAGE.path, () => demandReports(egress.counters)],
      [STATS_PAGE.path, (query) => recent.answer(query)],
    ]),
    ...(taps.streams === undefined ? {} : { streams: taps.streams }),
  });
}

function recentOf(
  egress: Egress,
  { identity, client, log }: { identity: IdentitySource; client: KubeClient; log: Logger },
): Recent {
  const about = new StatsOfProcess({ clock: systemClock, identity, env: process.env });
  const read = async (): Promise<StatsReport> => {
    const [stats, sync] = [await egress.stats(), syncStats(client, systemClock.now())];
    return { v: 1, process: 'egress', ...about.now, sync, workers: 1, ...stats };
  };
  return about.remember(read, log);
}

/** The Services of this cluster that groups may lead to. */
function localTargets(
  { memberSelectors, meshOf }: EgressProcess,
  shared: Pick<KubeTargetsOptions, 'client' | 'clock' | 'random' | 'log'>,
  identity: IdentitySource,
): TargetSource {
  return openKubeTargets({
    ...shared,
    clusterDomain: LOCAL_DOMAIN,
    exportSelectors: memberSelectors,
    mesh: meshOf(identity),
    zone: undefined,
    // Without them, requests go to the other members of a group.
    required: false,
    // Retries and timeouts of a group are those of the federated Service.
    requestRules: false,
  });
}

/** How requests of groups are divided, and the clock by which that is done. */
function sharesOf(
  shared: Pick<KubeTargetsOptions, 'client' | 'clock' | 'log'>,
  { mirrors, slices, links }: RouteSource,
  proven: (cluster: string) => number | undefined,
): { readonly shares: GroupShares; readonly time: ClusterTime } {
  const time: ClusterTime = new ClusterTime({ ...shared, onChange: () => shares.clockChanged() });
  const { clock } = shared;
  const skewed = () => time.skewed;
  const shares = new GroupShares({ mirrors, slices, links, clock, proven, skewed });
  return { shares, time };
}

/** Where what is known of backends of apexes stands. */
function knownFrom(
  { slices, links }: RouteSource,
  local: PublishedBackendsOptions['local'],
): PublishedBackendsOptions {
  return { slices, links, local, clock: systemClock };
}

/** How long ago the API server was last heard, milliseconds. */
function ageOf(routes: RouteSource, time: ClusterTime): () => number | undefined {
  return () => {
    const heard = Math.max(routes.factsHeard ?? 0, time.lastHeard ?? 0);
    return heard === 0 ? undefined : Math.max(0, systemClock.now() - heard);
  };
}

/** Members of federated Services, and what only an apex leads to. */
function bothOf(
  members: Pick<TargetSource, 'get' | 'subscribe'>,
  leaves: Pick<TargetSource, 'get' | 'subscribe'>,
): Pick<TargetSource, 'get' | 'subscribe'> {
  return {
    get: (name, port) => members.get(name, port) ?? leaves.get(name, port),
    subscribe: (listener) => {
      const ends = [members.subscribe(listener), leaves.subscribe(listener)];
      return () => ends.forEach((end) => end());
    },
  };
}

/** The first health that is not ok; else the first reason, which is a warning; else ok. */
function firstNotOk(healths: readonly (Health | undefined)[]): Health {
  const known = healths.filter((health) => health !== undefined);
  const trouble = known.find(({ ok }) => !ok) ?? known.find(({ reason }) => reason !== '');
  return trouble ?? { ok: true, reason: '' };
}
