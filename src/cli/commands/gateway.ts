import { availableParallelism } from 'node:os';
import { DEFAULT_CLUSTER_DOMAIN, FAULTS } from '../../api/names.ts';
import { Command } from 'commander';
import { z } from 'zod';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { parseAddress } from '../../base/address.ts';
import { systemClock } from '../../base/clock.ts';
import { openFileTargets } from '../../discovery/file-targets.ts';
import { openKubeTargets } from '../../discovery/kube-targets.ts';
import { handMadeSlicesIn } from '../../exports/slice-makers.ts';
import { DrilledTargets } from '../../gateway/drilled-targets.ts';
import { OwnService } from '../../gateway/own-service.ts';
import { parseFixedListener } from '../../gateway/acceptors/fixed-acceptor.ts';
import { NO_POLICIES } from '../../gateway/authorization/policy-source.ts';
import { workerNumber } from '../../gateway/workers/worker.ts';
import type { IdentitySource } from '../../identity/sources/identity.ts';
import { relayDomain } from '../../identity/names/relayed-name.ts';
import { clientFor } from '../../kube/client/scoped-client.ts';
import { syncStats } from '../../kube/informer/followed.ts';
import { openPolicies } from '../../processes/gateway-policies.ts';
import { meshSettings, ownZone } from '../../processes/gateway-mesh.ts';
import { MAX_PENDING } from '../../proxy/upstream/target-options.ts';
import { LastResort } from '../../telemetry/last-resort.ts';
import { createLogger, type Logger } from '../../telemetry/log.ts';
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
import { serviceFlag } from '../flags/drain-flags.ts';
import { accessOf, namespacesFlag, withNamespacesFlag } from '../flags/cluster-flags.ts';
import {
  connectionLimitFlags,
  connectionLimitsOf,
  withConnectionLimitFlags,
} from '../flags/connection-limit-flags.ts';
import { policyFlags, withPolicyFlags } from '../flags/policy-flags.ts';
import { tuneForTraffic } from '../../processes/v8-tuning.ts';
import {
  type GatewayRun,
  type OpenTargets,
  runAlone,
  runWorker,
  runWorkers,
} from '../../processes/gateway-process.ts';
import {
  identityFlags,
  openIdentity,
  hasIdentityDir,
  NO_IDENTITY_DIR,
  withIdentityFlags,
} from '../flags/identity-flags.ts';
import { layeredSettings } from '../flags/layered-settings.ts';

/** Most workers; more would only cost memory. */
const MAX_WORKERS = 256;

const workers = z.string().transform((text, context) => {
  const count = text === 'auto' ? availableParallelism() : Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MAX_WORKERS) return count;
  context.addIssue({
    code: 'custom',
    message: `"${text}" is neither auto nor a number from 1 to ${MAX_WORKERS}`,
  });
  return z.NEVER;
});

const schema = z
  .strictObject({
    listen: z.string(),
    listeners: z.array(z.string()).default([]),
    admin: z.string(),
    probe: z.string(),
    ...connectionLimitFlags,
    ...identityFlags,
    kubeconfig: z.string().optional(),
    context: z.string().optional(),
    targets: z.string().optional(),
    service: serviceFlag,
    clusterDomain: z.string(),
    namespaces: namespacesFlag,
    exportSelector: z.array(z.string()).optional(),
    mesh: z.enum(['auto', 'on', 'off']),
    routes: z.enum(['all', 'profile']),
    zone: z.string().min(1).optional(),
    handMadeSlices: z.array(z.string().min(1)).default([]).transform(handMadeSlicesIn),
    maxPending: z.coerce.number().int().min(1),
    grace: z.coerce.number().min(0),
    workers,
    ...streamsFlag,
    ...latencyFlag,
    ...connectionAgeFlags,
    ...accessLogFlags,
    ...tapFlags,
    ...traceFlags,
    allowFaultInjection: z.boolean().default(false),
    allowTrustDomain: z.array(z.string().min(1)).default([]),
    trustedRelays: z
      .array(
        z.string().refine((text) => relayDomain(text) !== undefined, 'not an identity that can name clients'),
      )
      .default([]),
    ...policyFlags,
    logLevel: z.enum(['error', 'warn', 'info', 'debug']),
  })
  .refine((settings) => settings.targets === undefined || settings.kubeconfig === undefined, {
    error: '--targets and --kubeconfig exclude each other',
  })
  .refine(({ targets, tap }) => targets === undefined || !tap, {
    error: '--tap needs Kubernetes, which says who may look: it excludes --targets',
  })
  .refine(({ streams, trustedRelays }) => streams || trustedRelays.length === 0, {
    error: '--trusted-relays needs --streams on: without it nobody says whom a flow comes from',
  })
  .refine(hasIdentityDir, NO_IDENTITY_DIR);
type Settings = z.output<typeof schema>;

/** Prefix of the environment variables for flags: `LINKSPAN_GATEWAY_LOG_LEVEL`. */
const VARIABLES = 'LINKSPAN_GATEWAY_';

/** `linkspan gateway`: the entry for the traffic of other clusters. */
export function gatewayCommand(): Command {
  const command = withNamespacesFlag(withConnectionLimitFlags(withIdentityFlags(new Command('gateway'))));
  const common = addTapFlags(addAccessLogFlags(addLatencyFlag(addStreamsFlag(command))));
  const traced = addTraceFlags(common, '0');
  const policies = withPolicyFlags(addConnectionAgeFlags(traced, "clients' connections"));
  return withTargetFlags(policies)
    .description(
      "accept other clusters' traffic over mTLS and carry it to this (target) cluster's exported Services",
    )
    .option('--listen <address>', 'address for other clusters', '0.0.0.0:4143')
    .option(
      '--listeners <listener...>',
      'ports for one service each, for mTLS clients without a transport header (VMs, an ingress): <address>=<service>.<namespace>:<port>[/http or /opaque]',
    )
    .option(
      '--probe <address>',
      "address of /ready and /live, and of nothing else, for other clusters' probes",
      '0.0.0.0:4191',
    )
    .option(
      '--admin <address>',
      'address of /ready, /live, /metrics and the log level, for this cluster only',
      '0.0.0.0:9990',
    )
    .option(
      '--max-pending <n>',
      'requests without an answer and raw flows of one service (in each worker); more are refused',
      String(MAX_PENDING),
    )
    .option('--grace <seconds>', 'time for open flows after SIGTERM', '30')
    .option('--workers <n>', 'processes that share the port: a number, or auto for one per CPU', '1')
    .option(
      '--allow-fault-injection',
      `follow what exported Services (annotation ${FAULTS}), --targets and, with --service, \`linkspan drill\` say of faults to inject`,
    )
    .option(
      '--allow-trust-domain <domain...>',
      "trust domains beside that of the gateway's own identity whose identities may come in",
    )
    .option(
      '--trusted-relays <identity...>',
      'identities of Linkspan egresses that are believed which workload of their own trust domain a flow comes from (default: none)',
    )
    .option('--log-level <level>', 'error, warn, info or debug; can be changed at /proxy-log-level', 'info')
    .option(
      '--config <file>',
      `YAML file with settings (keys as the flags, in camelCase); ${VARIABLES}<FLAG> in the environment and flags come first`,
    )
    .action((_, command: Command) => run(layeredSettings(schema, command, process.env, VARIABLES)));
}

/** Flags that say which Services are served, and what is read of them. */
function withTargetFlags(command: Command): Command {
  return command
    .option(
      '--kubeconfig <file>',
      "kubeconfig of this cluster (default: the pod's own account, else ~/.kube/config)",
    )
    .option('--context <name>', 'context of the kubeconfig')
    .option('--targets <file>', 'YAML file with the services to serve, instead of Kubernetes; watched')
    .option(
      '--service <name>',
      "the gateway's own Service, <namespace>/<service>, which `linkspan drain gateway` writes to (default: it cannot be drained)",
    )
    .option('--cluster-domain <domain>', 'DNS domain of this cluster', DEFAULT_CLUSTER_DOMAIN)
    .option('--export-selector <selector...>', 'label selectors of the Services that are served')
    .option(
      '--mesh <when>',
      'speak to pods with a Linkerd proxy as their mesh does, with mTLS: auto (where Linkerd is installed and the identity is not that of --identity csr), on, off',
      'auto',
    )
    .option(
      '--routes <which>',
      'what is followed of what says where requests for a Service go: all, or profile (ServiceProfiles and TrafficSplits, no HTTPRoutes and GRPCRoutes, as with Linkerd)',
      'all',
    )
    .option(
      '--zone <name>',
      "the gateway's zone, for endpoints with hints (default: that of the node that $NODE_NAME names)",
    )
    .option(
      '--hand-made-slices <namespace...>',
      'namespaces in which EndpointSlices are served too that neither kube has made of pods nor Linkerd of ExternalWorkloads; all for every one (default: none)',
    );
}

/**
 * Runs one process, or a parent with workers. Workers have the same settings, and know by an environment
 * variable that they are workers.
 */
async function run(settings: Settings): Promise<void> {
  tuneForTraffic();
  const worker = workerNumber(process.env);
  const base = createLogger({ name: 'gateway', level: settings.logLevel });
  const log = worker === undefined ? base : base.child({ worker });
  const gatewayRun: GatewayRun = {
    listen: parseAddress(settings.listen, '--listen'),
    listeners: settings.listeners.map((text) => parseFixedListener(text, settings.clusterDomain)),
    admin: parseAddress(settings.admin, '--admin'),
    probe: parseAddress(settings.probe, '--probe'),
    graceMs: settings.grace * 1000,
    workers: settings.workers,
    streams: settings.streams,
    latencyMetrics: settings.latencyMetrics,
    connectionAge: connectionAgeOf(settings),
    accessLog: settings.accessLog,
    accessLogQuery: settings.accessLogQuery,
    openTapClient: tapClientOf(settings, log),
    tapPaths: settings.tapPaths,
    tracing: tracingOf(settings, process.env),
    allowTrustDomains: settings.allowTrustDomain,
    trustedRelays: settings.trustedRelays,
    maxPending: settings.maxPending,
    connectionLimits: connectionLimitsOf(settings),
    log,
    lastResort: new LastResort({ log, clock: systemClock }),
    openIdentity: () => openIdentity(settings, log),
    openOwnService: ownServiceOf(settings, log),
    openTargets: (identity) => openTargets(settings, identity, log),
  };
  if (worker !== undefined) return runWorker(gatewayRun);
  return settings.workers > 1 ? runWorkers(gatewayRun) : runAlone(gatewayRun);
}

/** Its own client: a parent of workers has no other. */
function ownServiceOf(settings: Settings, log: Logger): (() => OwnService) | undefined {
  const { service } = settings;
  if (service === undefined || settings.targets !== undefined) return undefined;
  const { namespace, name } = parseKey(service);
  return () => {
    const shared = { clock: systemClock, random: Math.random, log };
    const client = clientFor(accessOf(settings), { ...shared, maxConnections: 2 });
    return new OwnService({ ...shared, client, closesClient: true, namespace, name });
  };
}

async function openTargets(settings: Settings, identity: IdentitySource, log: Logger): Promise<OpenTargets> {
  const { allowFaultInjection: faultInjection } = settings;
  if (settings.targets !== undefined) {
    const targets = await openFileTargets({
      file: settings.targets,
      faultInjection,
      clock: systemClock,
      log,
    });
    return { targets, policies: NO_POLICIES, sync: () => [], close: () => targets.close() };
  }
  const access = accessOf(settings);
  const client = clientFor(access, { clock: systemClock, random: Math.random, log }, settings.namespaces);
  const known = openKubeTargets({
    client,
    mesh: meshSettings(settings, identity),
    faultInjection,
    routes: settings.routes,
    handMadeSlices: settings.handMadeSlices,
    zone: settings.zone ?? (await ownZone(client, process.env, log)),
    clusterDomain: settings.clusterDomain,
    ...(settings.exportSelector === undefined ? {} : { exportSelectors: settings.exportSelector }),
    clock: systemClock,
    random: Math.random,
    log,
  });
  const shared = { clock: systemClock, random: Math.random, log };
  const own = faultInjection && settings.service !== undefined ? parseKey(settings.service) : undefined;
  const drills = own === undefined ? undefined : new OwnService({ ...shared, ...own, client });
  drills?.start();
  const targets = drills === undefined ? known : new DrilledTargets(known, drills, shared);
  const { port } = parseAddress(settings.listen, '--listen');
  const policies = openPolicies(settings, { client, identity, port, log });
  return {
    targets,
    policies,
    sync: () => syncStats(client, systemClock.now()),
    close: async () => {
      await Promise.all([targets.close(), policies.close(), drills?.close()]);
      await client.close();
    },
  };
}
