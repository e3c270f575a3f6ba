import { Command } from 'commander';
import { FAILOVER_CONTROLLED_BY } from '../../api/failover/failover-names.ts';
import { exportSelector } from '../../api/exports/export-marks.ts';
import { hostname } from 'node:os';
import { z } from 'zod';
import { keyTest } from '../../api/link/import-policy.ts';
import { parseAddress } from '../../base/address.ts';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import {
  CONTROLLER_ADMIN_PORT,
  DEFAULT_CLUSTER_DOMAIN,
  DEFAULT_EGRESS_NAME,
  DEFAULT_NAMESPACE,
} from '../../api/names.ts';
import { openIdentityDir } from '../../identity/sources/identity-dir.ts';
import type { IdentitySource } from '../../identity/sources/identity.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import { KubeClient } from '../../kube/client/kube-client.ts';
import type { MirrorControllerSettings } from '../../controllers/controller-settings.ts';
import { DEFAULT_EGRESS_RANGE } from '../../api/egress/egress-ports.ts';
import { controlNamespaces } from '../../controllers/imports/import-rules.ts';
import { runController } from '../../processes/controller-process.ts';
import { giveBackAfterStart } from '../../processes/v8-tuning.ts';
import { createLogger, type Logger } from '../../telemetry/log.ts';
import { addAnchorsFlag, anchorsFlag, boundIdentity } from '../flags/anchors-flag.ts';
import { budgetFlags, budgetsOf, withBudgetFlags } from '../flags/budget-flags.ts';
import {
  accessOf,
  clusterFlags,
  durationFlag,
  listFlag,
  namespacesFlag,
  rangesFlag,
  selectorFlag,
  withNamespacesFlag,
} from '../flags/cluster-flags.ts';

/** Keys and `<group>/*`, comma-separated; undefined: the flag was not given. */
const keyListFlag = z
  .string()
  .optional()
  .transform((text) => (text === undefined ? undefined : keyTest(text.split(',').map((key) => key.trim()))));

const schema = z.strictObject({
  ...clusterFlags,
  namespace: z.string(),
  namespaces: namespacesFlag,
  dataPath: z.enum(['auto', 'gateway', 'relay']),
  egressService: z.string(),
  headless: z.boolean().default(false),
  flatEndpoints: z.boolean().default(false),
  createNamespaces: z.boolean().default(false),
  annotationExports: z.boolean(),
  federatedServiceSelector: selectorFlag,
  excludedLabels: keyListFlag,
  excludedAnnotations: keyListFlag,
  onlyLabels: keyListFlag,
  onlyAnnotations: keyListFlag,
  steeringMetadata: z.boolean().default(false),
  protectedNamespaces: listFlag,
  ownPodCidrs: rangesFlag,
  ownServiceCidrs: rangesFlag,
  ownNodeCidrs: rangesFlag,
  learnRanges: z.boolean(),
  dropGuard: z.coerce.number().min(0).max(1),
  hostGrace: durationFlag,
  concurrency: z.coerce.number().int().min(1).max(1024),
  peerConcurrency: z.coerce.number().int().min(1).max(1024),
  failoverWeights: z.boolean(),
  failoverControllers: listFlag,
  clusterDomain: z.string().min(1),
  leaseDuration: durationFlag.refine((ms) => ms >= 5000, { error: 'must be at least 5s' }),
  ...budgetFlags,
  identityDir: z.string().optional(),
  ...anchorsFlag,
  admin: z.string(),
  replica: z
    .string()
    .min(1)
    .default(() => process.env['HOSTNAME'] ?? hostname()),
  logLevel: z.enum(['error', 'warn', 'info', 'debug']),
});
type Settings = z.output<typeof schema>;

/** `linkspan controller`: mirrors the exports of every linked cluster into this one. */
export function controllerCommand(): Command {
  const command = withNamespacesFlag(new Command('controller'))
    .description('mirror the exported Services of linked clusters into this (source) cluster')
    .option(
      '--kubeconfig <file>',
      "kubeconfig of the source cluster (default: the pod's own account, else ~/.kube/config)",
    )
    .option('--context <name>', 'context of the kubeconfig')
    .option(
      '--namespace <ns>',
      'namespace of the Links, their Secrets and the egress Service',
      DEFAULT_NAMESPACE,
    )
    .option(
      '--data-path <path>',
      "how mirrors' traffic travels: gateway, relay, or auto (gateway where Linkerd is installed)",
      'auto',
    )
    .option('--egress-service <name>', 'Service whose endpoints are the egress pods', DEFAULT_EGRESS_NAME)
    .option(
      '--drop-guard <share>',
      "share of a cluster's mirrors that may go at once without a second list",
      '0.5',
    )
    .option('--headless', 'mirror headless Services as headless, with one endpoint mirror for each host')
    .option(
      '--flat-endpoints',
      'give flat mirrors the addresses of the remote pods, for clusters without a mesh whose pods reach each other',
    )
    .option('--create-namespaces', 'create namespaces that exports need and that do not exist here')
    .option(
      '--no-annotation-exports',
      'honour labels only; the target then filters what is watched of its Services',
    )
    .option(
      '--protected-namespaces <list>',
      'namespaces that nothing is mirrored into unless a Link names them, beside kube-…, that of the Links and those of Linkerd',
    )
    .option(
      '--own-pod-cidrs <list>',
      "this cluster's ranges of pods: no address that a target names may lie in them",
    )
    .option('--own-service-cidrs <list>', 'the same, of ClusterIPs')
    .option('--own-node-cidrs <list>', 'the same, of nodes')
    .option(
      '--no-learn-ranges',
      'do not read Nodes and ServiceCIDRs for them (with --namespaces they never are)',
    )
    .option(
      '--no-failover-weights',
      'do not write weights into TrafficSplits, routes and ServiceProfiles that are labelled for it',
    )
    .option(
      '--failover-controllers <list>',
      `values of the label ${FAILOVER_CONTROLLED_BY} by which weights are written, beside linkspan`,
    )
    .option('--cluster-domain <domain>', 'DNS domain of this cluster', DEFAULT_CLUSTER_DOMAIN)
    .option('--host-grace <time>', 'how long the endpoint mirror of a vanished host stays', '60s')
    .option('--concurrency <n>', 'mirrors of all clusters together that are written at once', '32')
    .option('--peer-concurrency <n>', 'mirrors of one cluster that are written at once', '24')
    .option(
      '--lease-duration <time>',
      'after this time without renewal another replica takes a Link over',
      '30s',
    )
    .option(
      '--identity-dir <dir>',
      'tls.crt, tls.key and ca.crt, for gateways that let only mTLS clients probe them',
    )
    .option('--admin <address>', 'address of /ready, /live and /metrics', `0.0.0.0:${CONTROLLER_ADMIN_PORT}`)
    .option('--replica <name>', 'name of this replica in its Leases (default: the host name)')
    .option('--log-level <level>', 'error, warn, info or debug', 'info')
    .action((flags: unknown) => run(parseFlags(schema, flags, 'controller')));
  return withBudgetFlags(addAnchorsFlag(withMetadataFlags(command)));
}

/** Adds the flags for federated Services, and for the labels and annotations that are copied to mirrors. */
function withMetadataFlags(command: Command): Command {
  return command
    .option(
      '--federated-service-selector <selector>',
      'Services of this cluster that join federated ones',
      exportSelector('federated'),
    )
    .option(
      '--excluded-labels <keys>',
      'labels of those that federated Services do not get (default: what any Link excludes; empty: none)',
    )
    .option('--excluded-annotations <keys>', 'the same, of annotations')
    .option(
      '--only-labels <keys>',
      'copy only these labels to mirrors (comma-separated; <group>/* for a group)',
    )
    .option('--only-annotations <keys>', 'copy only these annotations to mirrors')
    .option(
      '--steering-metadata',
      "copy also labels and annotations that steer this cluster's own machinery (DNS records, load balancers, GitOps, …)",
    );
}

async function run(settings: Settings): Promise<void> {
  const log = createLogger({ name: 'controller', level: settings.logLevel });
  const access = accessOf(settings);
  const { namespace, namespaces, dataPath, identityDir, replica } = settings;
  giveBackAfterStart(systemClock);
  await runController({
    log,
    access,
    admin: parseAddress(settings.admin, '--admin'),
    replica,
    namespace,
    dataPath,
    scoped: namespaces !== undefined,
    settings: (meshed) => controllerSettings(settings, meshed),
    openIdentity:
      identityDir === undefined ? undefined : () => probeIdentity(identityDir, settings, access, log),
  });
}

/** The identity for probes of gateways that demand mTLS, and the anchors for theirs. */
async function probeIdentity(
  dir: string,
  { anchors }: Settings,
  access: ClusterAccess,
  log: Logger,
): Promise<IdentitySource> {
  const clientOf = () => new KubeClient(access, { clock: systemClock, random: Math.random, log });
  return boundIdentity(await openIdentityDir({ dir, clock: systemClock, log }), anchors, { clientOf, log });
}

/** The controller's settings from the flags; where Linkerd is installed, defaults are Linkerd's. */
function controllerSettings(settings: Settings, meshed: boolean): MirrorControllerSettings {
  return {
    namespace: settings.namespace,
    namespaces: settings.namespaces,
    egressService: settings.egressService,
    egressRange: DEFAULT_EGRESS_RANGE,
    federatedSelector: settings.federatedServiceSelector,
    localExclusions: { label: settings.excludedLabels, annotation: settings.excludedAnnotations },
    dataPath: settings.dataPath === 'auto' ? (meshed ? 'gateway' : 'relay') : settings.dataPath,
    writeEndpoints: meshed,
    flatEndpoints: settings.flatEndpoints,
    headless: settings.headless,
    createNamespaces: settings.createNamespaces,
    annotationExports: settings.annotationExports,
    allowedLabel: settings.onlyLabels,
    allowedAnnotation: settings.onlyAnnotations,
    steeringMetadata: settings.steeringMetadata,
    controlNamespaces: controlNamespaces([settings.namespace, ...settings.protectedNamespaces]),
    ranges: {
      given: { pod: settings.ownPodCidrs, service: settings.ownServiceCidrs, node: settings.ownNodeCidrs },
      learn: settings.learnRanges,
    },
    dropGuard: { fraction: settings.dropGuard },
    hostGraceMs: settings.hostGrace,
    concurrency: settings.peerConcurrency,
    totalConcurrency: settings.concurrency,
    leaseMs: settings.leaseDuration,
    weights: {
      enabled: settings.failoverWeights,
      controllers: settings.failoverControllers,
      clusterDomain: settings.clusterDomain,
      scoped: settings.namespaces !== undefined && settings.namespaces.length > 0,
    },
    budgets: budgetsOf(settings),
  };
}
