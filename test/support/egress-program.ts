/**
 * `egress-program.ts CONFIG`: an egress with routes from a file instead of a cluster, until it gets SIGTERM.
 */
import { readFileSync } from 'node:fs';
import { systemClock } from '../../src/base/clock.ts';
import type { PodFacts } from '../../src/egress/clients/client.ts';
import { publishHostNames } from '../../src/dns/dns-metrics.ts';
import { Egress } from '../../src/egress/egress.ts';
import { publishEgress } from '../../src/egress/egress-metrics.ts';
import type { Route } from '../../src/egress/routes/routes.ts';
import { openIdentityDir } from '../../src/identity/sources/identity-dir.ts';
import { publishIdentity } from '../../src/identity/identity-metrics.ts';
import { StopSignals } from '../../src/processes/signals.ts';
import { publishCounters } from '../../src/proxy/metrics/counters-exposition.ts';
import { startAdmin } from '../../src/telemetry/admin.ts';
import { LastResort, publishProcessErrors } from '../../src/telemetry/last-resort.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { createRegistry } from '../../src/telemetry/registry.ts';
import { noNames } from './host-names.ts';
import { ListedClients } from './listed-clients.ts';

export interface EgressProgramConfig {
  readonly identityDir: string;
  readonly admin: number;
  readonly streams: boolean;
  readonly graceMs: number;
  readonly routes: readonly Route[];
  /** Pods by their address; absent: clients are not told apart. */
  readonly pods?: Readonly<Record<string, readonly PodFacts[]>>;
}

const [, , file = ''] = process.argv;
const config = JSON.parse(readFileSync(file, 'utf8')) as EgressProgramConfig;
const log = createLogger({ name: 'egress', level: 'info' });
const shared = { clock: systemClock, random: Math.random, log };
const lastResort = new LastResort(shared);
const identity = await openIdentityDir({ dir: config.identityDir, clock: systemClock, log });
const names = noNames(systemClock);
const egress = new Egress({
  ...shared,
  identity,
  listenAddress: '127.0.0.1',
  streams: config.streams,
  graceMs: config.graceMs,
  names,
  ...(config.pods === undefined ? {} : { clients: new ListedClients(config.pods) }),
});
const registry = createRegistry();
publishCounters(registry, egress.counters, 'outbound');
publishEgress(registry, { refused: egress.refused, pods: () => Object.keys(config.pods ?? {}).length });
publishHostNames(registry, names);
publishIdentity(registry, identity, systemClock);
publishProcessErrors(registry, lastResort);
lastResort.surviveUncaught();
const admin = await startAdmin({
  address: { host: '127.0.0.1', port: config.admin },
  registry,
  ready: () => egress.ready,
});
egress.update(new Map(config.routes.map((route) => [route.listenPort, route])));
await new StopSignals().untilStopped(async () => {
  await egress.stop();
  await admin.close();
});
await identity.close();
