import { Command } from 'commander';
import { ALLOWED_NAMESPACES, DEFAULT_CLUSTER_DOMAIN, DEFAULT_NAMESPACE } from '../../api/names.ts';
import { z } from 'zod';
import { parseAddress } from '../../base/address.ts';
import { parseFlags } from '../../base/config.ts';
import { exportSelector } from '../../api/exports/export-marks.ts';
import { unionOf } from '../../api/kubernetes/label-selector.ts';
import { meshSettings } from '../../processes/gateway-mesh.ts';
import { runEgress } from '../../processes/egress-process.ts';
import { tuneForTraffic } from '../../processes/v8-tuning.ts';
import { createLogger } from '../../telemetry/log.ts';
import { addTraceFlags, traceFlags, tracingOf } from '../flags/trace-flags.ts';
import {
  addConnectionAgeFlags,
  addLatencyFlag,
  addStreamsFlag,
  connectionAgeFlags,
  connectionAgeOf,
  latencyFlag,
  streamsFlag,
} from '../flags/traffic-flags.ts';
import { accessLogFlags, addAccessLogFlags } from '../flags/access-log-flags.ts';
import { addTapFlags, tapClientOf, tapFlags } from '../flags/tap-flags.ts';
import { accessOf, namespacesFlag, selectorFlag, withNamespacesFlag } from '../flags/cluster-flags.ts';
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
    ...latencyFlag,
    federatedServiceSelector: selectorFlag,
    clusterDomain: z.string().min(1),
    clients: z.enum(['on', 'off']).transform((text) => text === 'on'),
    defaultRelayPolicy: z.enum(['all', 'namespace']),
    ...connectionAgeFlags,
    ...accessLogFlags,
    ...tapFlags,
    ...traceFlags,
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
  const common = addTapFlags(addAccessLogFlags(addLatencyFlag(addStreamsFlag(command))));
  return addConnectionAgeFlags(addTraceFlags(common, '0.01'), 'connections to gateways')
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
      '--federated-service-selector <selector>',
      'Services of this cluster that join federated ones, as the controller has it',
      exportSelector('federated'),
    )
    .option('--cluster-domain <domain>', 'DNS domain of this cluster', DEFAULT_CLUSTER_DOMAIN)
    .option(
      '--clients <switch>',
      `on: find out by the pods of this cluster which client a connection comes from, for ${ALLOWED_NAMESPACES} and for gateways with --trusted-relays; off: all clients are the egress, and mirrors that let in only some namespaces let in nobody`,
      'on',
    )
    .option(
      '--default-relay-policy <whose>',
      `clients of mirrors that have no ${ALLOWED_NAMESPACES}, nor their Namespace: all, or namespace (those of the own namespace of each mirror)`,
      'all',
    )
    .option('--grace <seconds>', 'time for open flows after SIGTERM', '30')
    .option('--log-level <level>', 'error, warn, info or debug', 'info')
    .action((flags: unknown) => run(parseFlags(schema, flags, 'egress')));
}

async function run(settings: Settings): Promise<void> {
  tuneForTraffic();
  const log = createLogger({ name: 'egress', level: settings.logLevel });
  await runEgress({
    log,
    access: accessOf(settings),
    openIdentity: () => openIdentity(settings, log),
    // Without a right to watch pods all are spoken to plainly, as clients without an egress would.
    meshOf: (identity) =>
      settings.clients ? meshSettings({ ...settings, mesh: 'auto' }, identity) : undefined,
    memberSelectors: unionOf([settings.federatedServiceSelector]),
    clusterDomain: settings.clusterDomain,
    namespace: settings.namespace,
    namespaces: settings.namespaces,
    listenAddress: settings.listenAddress,
    admin: parseAddress(settings.admin, '--admin'),
    clients: settings.clients,
    tracing: tracingOf(settings, process.env),
    relayPolicy: settings.defaultRelayPolicy,
    streams: settings.streams,
    latencyMetrics: settings.latencyMetrics,
    accessLog: settings.accessLog,
    accessLogQuery: settings.accessLogQuery,
    openTapClient: tapClientOf(settings, log),
    tapPaths: settings.tapPaths,
    connectionAge: connectionAgeOf(settings),
    graceMs: settings.grace * 1000,
  });
}
