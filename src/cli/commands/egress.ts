import { Command } from 'commander';
import { z } from 'zod';
import { parseAddress } from '../../base/address.ts';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { DEFAULT_NAMESPACE } from '../../api/names.ts';
import { HostNames } from '../../dns/host-names.ts';
import { publishHostNames } from '../../dns/dns-metrics.ts';
import { systemLookUp } from '../../dns/system-look-up.ts';
import { NO_CLIENTS } from '../../egress/clients/client.ts';
import { KubeNamespaceRules, NO_NAMESPACE_RULES } from '../../egress/clients/namespace-rules.ts';
import { PodClients } from '../../egress/clients/pod-clients.ts';
import { Egress } from '../../egress/egress.ts';
import { publishEgress } from '../../egress/egress-metrics.ts';
import { RouteSource } from '../../egress/routes/route-source.ts';
import { publishIdentity } from '../../identity/identity-metrics.ts';
import { clientFor } from '../../kube/client/scoped-client.ts';
import { publishCounters } from '../../proxy/metrics/counters-exposition.ts';
import { type Health, startAdmin } from '../../telemetry/admin.ts';
import { LastResort, publishProcessErrors } from '../../telemetry/last-resort.ts';
import { createLogger } from '../../telemetry/log.ts';
import { createRegistry } from '../../telemetry/registry.ts';
import {
  addConnectionAgeFlags,
  addStreamsFlag,
  connectionAgeFlags,
  connectionAgeOf,
  streamsFlag,
} from '../flags/traffic-flags.ts';
import { accessOf, namespacesFlag, withNamespacesFlag } from '../flags/cluster-flags.ts';
import { endOfStart, tuneForTraffic, untilStopped } from '../../processes/lifecycle.ts';
import {
  identityFlags,
  openIdentity,
  hasIdentityDir,
  NO_IDENTITY_DIR,
  withIdentityFlags,
} from '../flags/identity-flags.ts';

const schema = z
  .strictObject({
    kubeconfig: z.string().optional(),
    context: z.string().optional(),
    namespace: z.string(),
    namespaces: namespacesFlag,
    ...identityFlags,
    listenAddress: z.string(),
    admin: z.string(),
    ...streamsFlag,
    clients: z.enum(['on', 'off']).transform((text) => text === 'on'),
    defaultRelayPolicy: z.enum(['all', 'namespace']),
    ...connectionAgeFlags,
    grace: z.coerce.number().min(0),
    logLevel: z.enum(['error', 'warn', 'info', 'debug']),
  })
  .refine(({ clients, defaultRelayPolicy }) => clients || defaultRelayPolicy === 'all', {
    error: '--default-relay-policy namespace needs --clients on: nobody would be let in',
  })
  .refine(hasIdentityDir, NO_IDENTITY_DIR);
type Settings = z.output<typeof schema>;

/** `linkspan egress`: the relay for clients without a mesh. */
export function egressCommand(): Command {
  const command = withNamespacesFlag(withIdentityFlags(new Command('egress')));
  return addConnectionAgeFlags(addStreamsFlag(command), 'connections to gateways')
    .description("carry plain clients' traffic to the mirrored Services over mTLS; run in the source cluster")
    .option(
      '--kubeconfig <file>',
      "kubeconfig of this cluster (default: the pod's own account, else ~/.kube/config)",
    )
    .option('--context <name>', 'context of the kubeconfig')
    .option('--namespace <ns>', 'namespace of the Links', DEFAULT_NAMESPACE)
    .option('--listen-address <ip>', 'address on which mirrored ports are opened', '0.0.0.0')
    .option('--admin <address>', 'address of /ready, /live and /metrics', '0.0.0.0:4192')
    .option(
      '--clients <switch>',
      'on: find out by the pods of this cluster which client a connection comes from, for linkspan.dev/allowed-namespaces and for gateways with --trusted-relays; off: all clients are the egress, and mirrors that let in only some namespaces let in nobody',
      'on',
    )
    .option(
      '--default-relay-policy <whose>',
      'clients of mirrors that have no linkspan.dev/allowed-namespaces, nor their Namespace: all, or namespace (those of the own namespace of each mirror)',
      'all',
    )
    .option('--grace <seconds>', 'time for open flows after SIGTERM', '30')
    .option('--log-level <level>', 'error, warn, info or debug', 'info')
    .action((flags: unknown) => run(parseFlags(schema, flags, 'egress')));
}

async function run(settings: Settings): Promise<void> {
  tuneForTraffic();
  const log = createLogger({ name: 'egress', level: settings.logLevel });
  const lastResort = new LastResort({ log, clock: systemClock });
  const access = accessOf(settings);
  const identity = await openIdentity(settings, log);
  const client = clientFor(access, { clock: systemClock, random: Math.random, log }, settings.namespaces);
  const shared = { clock: systemClock, random: Math.random, log };
  const clients = settings.clients ? new PodClients({ ...shared, client }) : undefined;
  const namespaceRules = settings.clients ? new KubeNamespaceRules({ ...shared, client }) : undefined;
  const names = new HostNames({ ...shared, lookUp: systemLookUp(shared) });
  const egress = new Egress({
    ...shared,
    identity,
    clients: clients ?? NO_CLIENTS,
    namespaceRules: namespaceRules ?? NO_NAMESPACE_RULES,
    relayPolicy: settings.defaultRelayPolicy,
    listenAddress: settings.listenAddress,
    names,
    streams: settings.streams,
    connectionAge: connectionAgeOf(settings),
    graceMs: settings.grace * 1000,
  });
  const routes = new RouteSource({
    ...shared,
    client,
    namespace: settings.namespace,
    onRoutes: (found) => egress.update(found),
  });
  const registry = createRegistry();
  publishCounters(registry, egress.counters, 'outbound');
  publishEgress(registry, { refused: egress.refused, pods: () => clients?.size ?? 0 });
  publishHostNames(registry, names);
  publishIdentity(registry, identity, systemClock);
  publishProcessErrors(registry, lastResort);
  lastResort.goOn();
  try {
    const admin = await startAdmin({
      address: parseAddress(settings.admin, '--admin'),
      registry,
      ready: () => firstNotOk([egress.ready, routes.ready, clients?.ready, namespaceRules?.ready]),
      pages: new Map([['/try', () => egress.tryGateways()]]),
    });
    clients?.start();
    namespaceRules?.start();
    routes.start();
    log.info(
      { identity: identity.current()?.name, server: access.server, namespace: settings.namespace },
      'egress started',
    );
    endOfStart();
    await untilStopped(async (signal) => {
      log.info({ signal }, 'draining');
      await egress.stop();
      await admin.close();
    });
  } finally {
    await Promise.all([routes.stop(), clients?.stop(), namespaceRules?.stop()]);
    await Promise.all([identity.close(), client.close()]);
  }
}

/**
 * Whether all is well; of several troubles, also those that do not make it unusable, the first one's reason.
 */
function firstNotOk(healths: readonly (Health | undefined)[]): Health {
  const known = healths.filter((health) => health !== undefined);
  const trouble = known.find(({ ok }) => !ok) ?? known.find(({ reason }) => reason !== '');
  return trouble ?? { ok: true, reason: '' };
}
