import { EGRESS_TRY_PAGE } from '../api/answers/admin-answers.ts';
import type { SocketAddress } from '../base/address.ts';
import { systemClock } from '../base/clock.ts';
import { publishHostNames } from '../dns/dns-metrics.ts';
import { HostNames } from '../dns/host-names.ts';
import { systemLookUp } from '../dns/system-look-up.ts';
import { NO_CLIENTS } from '../egress/clients/client.ts';
import { KubeNamespaceRules, NO_NAMESPACE_RULES } from '../egress/clients/namespace-rules.ts';
import { PodClients } from '../egress/clients/pod-clients.ts';
import { Egress, type EgressOptions } from '../egress/egress.ts';
import { publishEgress } from '../egress/egress-metrics.ts';
import { RouteSource } from '../egress/routes/route-source.ts';
import { publishIdentity } from '../identity/identity-metrics.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import type { ClusterAccess } from '../kube/client/access.ts';
import { clientFor } from '../kube/client/scoped-client.ts';
import { publishCounters } from '../proxy/metrics/counters-exposition.ts';
import { type Health, startAdmin } from '../telemetry/admin.ts';
import { LastResort, publishProcessErrors } from '../telemetry/last-resort.ts';
import type { Logger } from '../telemetry/log.ts';
import { createRegistry } from '../telemetry/registry.ts';
import { StopSignals } from './signals.ts';
import { endOfStart, tuneForTraffic } from './v8-tuning.ts';

/** Settings of an egress process. */
export interface EgressProcess
  extends Required<
    Pick<EgressOptions, 'relayPolicy' | 'listenAddress' | 'streams' | 'connectionAge' | 'graceMs'>
  > {
  readonly log: Logger;
  /** To its own cluster. */
  readonly access: ClusterAccess;
  readonly openIdentity: () => Promise<IdentitySource>;
  /** Namespace of the Links. */
  readonly namespace: string;
  /** Those that its account may see; undefined: all. */
  readonly namespaces: readonly string[] | undefined;
  readonly admin: SocketAddress;
  /** Whether it watches pods to find out which one a connection comes from. */
  readonly clients: boolean;
}

/** Runs an egress until the process is told to end and its flows have ended. */
export async function runEgress(options: EgressProcess): Promise<void> {
  const stops = new StopSignals();
  tuneForTraffic();
  const { log, access, namespace, relayPolicy, listenAddress, streams, connectionAge, graceMs } = options;
  const lastResort = new LastResort({ log, clock: systemClock });
  const identity = await options.openIdentity();
  const client = clientFor(access, { clock: systemClock, random: Math.random, log }, options.namespaces);
  const shared = { clock: systemClock, random: Math.random, log };
  const clients = options.clients ? new PodClients({ ...shared, client }) : undefined;
  const namespaceRules = options.clients ? new KubeNamespaceRules({ ...shared, client }) : undefined;
  const names = new HostNames({ ...shared, lookUp: systemLookUp(shared) });
  const egress = new Egress({
    ...shared,
    identity,
    clients: clients ?? NO_CLIENTS,
    namespaceRules: namespaceRules ?? NO_NAMESPACE_RULES,
    relayPolicy,
    listenAddress,
    names,
    streams,
    connectionAge,
    graceMs,
  });
  const routes = new RouteSource({
    ...shared,
    client,
    namespace,
    onRoutes: (found) => egress.update(found),
  });
  const registry = createRegistry();
  publishCounters(registry, egress.counters, 'outbound');
  publishEgress(registry, { refused: egress.refused, pods: () => clients?.size ?? 0 });
  publishHostNames(registry, names);
  publishIdentity(registry, identity, systemClock);
  publishProcessErrors(registry, lastResort);
  lastResort.surviveUncaught();
  try {
    const admin = await startAdmin({
      address: options.admin,
      registry,
      ready: () => firstNotOk([egress.ready, routes.ready, clients?.ready, namespaceRules?.ready]),
      pages: new Map([[EGRESS_TRY_PAGE.path, () => egress.tryGateways()]]),
    });
    clients?.start();
    namespaceRules?.start();
    routes.start();
    log.info({ identity: identity.current()?.name, server: access.server, namespace }, 'egress started');
    endOfStart();
    await stops.untilStopped(async (signal) => {
      log.info({ signal }, 'draining');
      await egress.stop();
      await admin.close();
    });
  } finally {
    await Promise.all([routes.stop(), clients?.stop(), namespaceRules?.stop()]);
    await Promise.all([identity.close(), client.close()]);
  }
}

/** The first health that is not ok; else the first reason, which is a warning; else ok. */
function firstNotOk(healths: readonly (Health | undefined)[]): Health {
  const known = healths.filter((health) => health !== undefined);
  const trouble = known.find(({ ok }) => !ok) ?? known.find(({ reason }) => reason !== '');
  return trouble ?? { ok: true, reason: '' };
}
