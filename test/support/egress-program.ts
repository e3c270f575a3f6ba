/**
 * `egress-program.ts CONFIG`: an egress with routes from a file instead of a cluster, until it gets SIGTERM.
 */
import { readFileSync } from 'node:fs';
import { EGRESS_DEMAND_PAGE } from '../../src/api/answers/demand-report.ts';
import { STATS_PAGE } from '../../src/api/answers/stats-report.ts';
import { EGRESS_TRUNKS_PAGE } from '../../src/api/answers/trunk-report.ts';
import { demandReports } from '../../src/egress/demand-counts.ts';
import { systemClock } from '../../src/base/clock.ts';
import { openFileTargets } from '../../src/discovery/file-targets.ts';
import type { PodFacts } from '../../src/egress/clients/client.ts';
import { publishHostNames } from '../../src/dns/dns-metrics.ts';
import { Egress } from '../../src/egress/egress.ts';
import { publishEgress } from '../../src/egress/egress-metrics.ts';
import type { Route } from '../../src/egress/routes/route.ts';
import { GroupShares } from '../../src/egress/shares/group-shares.ts';
import { endpointDial } from '../../src/gateway/endpoint-dial.ts';
import { openIdentityDir } from '../../src/identity/sources/identity-dir.ts';
import { publishIdentity } from '../../src/identity/identity-metrics.ts';
import { tracedPlace } from '../../src/egress/traced-place.ts';
import { tracingOf } from '../../src/cli/flags/trace-flags.ts';
import { StatsOfProcess } from '../../src/processes/stats-of-process.ts';
import { StopSignals } from '../../src/processes/signals.ts';
import { openTracing } from '../../src/processes/tracing.ts';
import { publishSpans } from '../../src/telemetry/traces/span-counts.ts';
import { publishCounters } from '../../src/proxy/metrics/counters-exposition.ts';
import { startAdmin } from '../../src/telemetry/admin.ts';
import { LastResort, publishProcessErrors } from '../../src/telemetry/last-resort.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { createRegistry } from '../../src/telemetry/registry.ts';
import { type GroupObjects, GroupStores } from './group-objects.ts';
import { noNames } from './host-names.ts';
import { ListedClients } from './listed-clients.ts';

export interface EgressProgramConfig {
  readonly identityDir: string;
  readonly admin: number;
  /** Default: loopback. */
  readonly adminHost?: string | undefined;
  readonly streams: boolean;
  readonly graceMs: number;
  readonly routes: readonly Route[];
  /** Pods by their address; absent: clients are not told apart. */
  readonly pods?: Readonly<Record<string, readonly PodFacts[]>>;
  /**
   * A file with the objects that groups are divided by (`GroupObjects`), read again at SIGHUP; absent: all
   * members are equal.
   */
  readonly groups?: string;
  /** What its cluster is called, for gateways; absent: they are not told. */
  readonly cluster?: string;
  /** A file with Services of its own cluster (`--targets` of a gateway); absent: there are none. */
  readonly local?: string;
  /** Flags for traces; absent: as the environment says, all requests. */
  readonly traces?: { readonly endpoint?: string; readonly sample?: number; readonly paths?: boolean };
}

const [, , file = ''] = process.argv;
/** Routes to one gateway have one object for it, as those of the record do. */
const gateways = new Map<string, unknown>();
const config = JSON.parse(readFileSync(file, 'utf8'), (name, value: unknown) => {
  if (name !== 'gateway') return value;
  const text = JSON.stringify(value);
  if (!gateways.has(text)) gateways.set(text, value);
  return gateways.get(text);
}) as EgressProgramConfig;
const log = createLogger({ name: 'egress', level: 'info' });
const shared = { clock: systemClock, random: Math.random, log };
const lastResort = new LastResort(shared);
const identity = await openIdentityDir({ dir: config.identityDir, clock: systemClock, log });
const names = noNames(systemClock);
const stores = new GroupStores();
const readGroups = () => {
  if (config.groups !== undefined)
    stores.put(JSON.parse(readFileSync(config.groups, 'utf8')) as GroupObjects);
};
readGroups();
process.on('SIGHUP', readGroups);
const shares = new GroupShares({
  ...stores,
  clock: systemClock,
  proven: (cluster) => egress.provenMs(cluster),
});
const local =
  config.local === undefined
    ? {}
    : {
        local: {
          targets: await openFileTargets({ file: config.local, clock: systemClock, log }),
          dial: endpointDial,
        },
      };
const { endpoint: traceEndpoint, sample: traceSample = 1, paths: tracePaths = true } = config.traces ?? {};
const settings = tracingOf({ traceEndpoint, traceSample, tracePaths }, process.env);
const placeOf = (label: string) => tracedPlace(egress.placeOf(label), stores.links.list());
const tracing = openTracing(settings, 'egress', { ...shared, placeOf });
const egress: Egress = new Egress({
  ...shared,
  tracer: tracing.tracer,
  identity,
  listenAddress: '127.0.0.1',
  streams: config.streams,
  cluster: config.cluster,
  graceMs: config.graceMs,
  names,
  shares,
  ...local,
  ...(config.pods === undefined ? {} : { clients: new ListedClients(config.pods) }),
});
const registry = createRegistry();
publishCounters(registry, egress.counters, 'outbound', { placeOf: (label) => egress.placeOf(label) });
publishEgress(registry, {
  refused: egress.refused,
  pods: () => Object.keys(config.pods ?? {}).length,
  divisions: () => [...shares.entries(), ...egress.ruleDivisions()],
  gateways: () => egress.gateways,
  factsAgeMs: () => 0,
});
publishHostNames(registry, names);
publishIdentity(registry, identity, systemClock);
publishProcessErrors(registry, lastResort);
publishSpans(registry, tracing);
lastResort.surviveUncaught();
const about = new StatsOfProcess({ clock: systemClock, identity, env: process.env });
const recent = about.remember(
  async () => ({ v: 1, process: 'egress', ...about.now, workers: 1, ...(await egress.stats()) }),
  log,
);
const admin = await startAdmin({
  address: { host: config.adminHost ?? '127.0.0.1', port: config.admin },
  registry,
  ready: () => egress.ready,
  pages: new Map<string, (query: URLSearchParams) => unknown>([
    [STATS_PAGE.path, (query) => recent.answer(query)],
    [EGRESS_TRUNKS_PAGE.path, () => egress.trunks],
    [EGRESS_DEMAND_PAGE.path, () => demandReports(egress.counters)],
  ]),
});
egress.update(new Map(config.routes.map((route) => [route.listenPort, route])));
await new StopSignals().untilStopped(async () => {
  await egress.stop();
  recent.close();
  await admin.close();
});
await Promise.all([identity.close(), tracing.close()]);
