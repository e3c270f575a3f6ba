import { Command } from 'commander';
import { z } from 'zod';
import { formatAddress, parseAddress } from '../base/address.ts';
import { systemClock } from '../base/clock.ts';
import { parseFlags } from '../base/config.ts';
import { DEFAULT_CLUSTER_DOMAIN } from '../base/names.ts';
import { untilStopped } from '../base/shutdown.ts';
import { openFileTargets } from '../discovery/file-targets.ts';
import { openKubeTargets } from '../discovery/kube-targets.ts';
import type { TargetSource } from '../discovery/target.ts';
import { Gateway } from '../gateway/gateway.ts';
import { publishIdentity } from '../identity/metrics.ts';
import { KubeClient } from '../kube/client.ts';
import { publishAccounts } from '../proxy/metrics.ts';
import { startAdmin } from '../telemetry/admin.ts';
import { createLogger, type Logger } from '../telemetry/log.ts';
import { createRegistry } from '../telemetry/metrics.ts';
import { accessOf } from './flags.ts';
import {
  identityFlags,
  openIdentity,
  hasIdentityDir,
  NO_IDENTITY_DIR,
  withIdentityFlags,
} from './identity-source.ts';

const schema = z
  .strictObject({
    listen: z.string(),
    admin: z.string(),
    ...identityFlags,
    kubeconfig: z.string().optional(),
    context: z.string().optional(),
    targets: z.string().optional(),
    clusterDomain: z.string(),
    exportSelector: z.array(z.string()).optional(),
    grace: z.coerce.number().min(0),
    logLevel: z.enum(['error', 'warn', 'info', 'debug']),
  })
  .refine((settings) => settings.targets === undefined || settings.kubeconfig === undefined, {
    error: '--targets and --kubeconfig exclude each other',
  })
  .refine(hasIdentityDir, NO_IDENTITY_DIR);
type Settings = z.output<typeof schema>;

/** `linkspan gateway`: the entry for the traffic of other clusters. */
export function gatewayCommand(): Command {
  return withIdentityFlags(new Command('gateway'))
    .description(
      "accept other clusters' traffic over mTLS and carry it to this (target) cluster's exported Services",
    )
    .option('--listen <address>', 'address for other clusters', '0.0.0.0:4143')
    .option('--admin <address>', 'address of /ready, /live and /metrics', '0.0.0.0:4191')
    .option(
      '--kubeconfig <file>',
      "kubeconfig of this cluster (default: the pod's own account, else ~/.kube/config)",
    )
    .option('--context <name>', 'context of the kubeconfig')
    .option('--targets <file>', 'YAML file with the services to serve, instead of Kubernetes; watched')
    .option('--cluster-domain <domain>', 'DNS domain of this cluster', DEFAULT_CLUSTER_DOMAIN)
    .option('--export-selector <selector...>', 'label selectors of the Services that are served')
    .option('--grace <seconds>', 'time for open flows after SIGTERM', '30')
    .option('--log-level <level>', 'error, warn, info or debug', 'info')
    .action((flags: unknown) => run(parseFlags(schema, flags, 'gateway')));
}

async function run(settings: Settings): Promise<void> {
  const log = createLogger({ name: 'gateway', level: settings.logLevel });
  const identity = await openIdentity(settings, log);
  const source = await openTargets(settings, log);
  const gateway = new Gateway({
    listen: parseAddress(settings.listen, '--listen'),
    identity,
    targets: source.targets,
    clock: systemClock,
    random: Math.random,
    log,
    graceMs: settings.grace * 1000,
  });
  const registry = createRegistry();
  publishAccounts(registry, gateway.accounts, 'inbound');
  publishIdentity(registry, identity, systemClock);
  const close = async (): Promise<void> => {
    await Promise.all([identity.close(), source.close()]);
  };
  try {
    const admin = await startAdmin({
      address: parseAddress(settings.admin, '--admin'),
      registry,
      ready: () => gateway.ready,
    });
    const address = await gateway.start().catch(async (error: unknown) => {
      await admin.close();
      throw error;
    });
    log.info({ listen: formatAddress(address), identity: identity.current()?.name }, 'gateway listens');
    await untilStopped(async (signal) => {
      log.info({ signal }, 'draining');
      await gateway.stop();
      await admin.close();
    });
  } finally {
    await close();
  }
}

async function openTargets(
  settings: Settings,
  log: Logger,
): Promise<{ targets: TargetSource; close: () => Promise<void> }> {
  if (settings.targets !== undefined) {
    const targets = await openFileTargets({ file: settings.targets, clock: systemClock, log });
    return { targets, close: () => targets.close() };
  }
  const access = accessOf(settings);
  const client = new KubeClient(access, { clock: systemClock, random: Math.random, log });
  const targets = openKubeTargets({
    client,
    clusterDomain: settings.clusterDomain,
    ...(settings.exportSelector === undefined ? {} : { exportSelectors: settings.exportSelector }),
    clock: systemClock,
    random: Math.random,
    log,
  });
  return {
    targets,
    close: async () => {
      await targets.close();
      await client.close();
    },
  };
}
