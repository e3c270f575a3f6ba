import { Command } from 'commander';
import { z } from 'zod';
import { parseAddress } from '../base/address.ts';
import { systemClock } from '../base/clock.ts';
import { parseFlags } from '../base/config.ts';
import { DEFAULT_NAMESPACE } from '../base/names.ts';
import { untilStopped } from '../base/shutdown.ts';
import { Egress } from '../egress/egress.ts';
import { systemLookup } from '../egress/resolve.ts';
import { RouteSource } from '../egress/sources.ts';
import { publishIdentity } from '../identity/metrics.ts';
import { clientFor } from '../kube/scoped-client.ts';
import { publishAccounts } from '../proxy/metrics.ts';
import { startAdmin } from '../telemetry/admin.ts';
import { createLogger } from '../telemetry/log.ts';
import { createRegistry } from '../telemetry/metrics.ts';
import { accessOf, namespacesFlag, withNamespacesFlag } from './flags.ts';
import { endOfStart, tuneForTraffic } from './garbage.ts';
import {
  identityFlags,
  openIdentity,
  hasIdentityDir,
  NO_IDENTITY_DIR,
  withIdentityFlags,
} from './identity-source.ts';
import { addStreamsFlag, streamsFlag } from './streams-flag.ts';

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
    grace: z.coerce.number().min(0),
    logLevel: z.enum(['error', 'warn', 'info', 'debug']),
  })
  .refine(hasIdentityDir, NO_IDENTITY_DIR);
type Settings = z.output<typeof schema>;

/** `linkspan egress`: the relay for clients without a mesh. */
export function egressCommand(): Command {
  return withNamespacesFlag(addStreamsFlag(withIdentityFlags(new Command('egress'))))
    .description("carry plain clients' traffic to the mirrored Services over mTLS; run in the source cluster")
    .option(
      '--kubeconfig <file>',
      "kubeconfig of this cluster (default: the pod's own account, else ~/.kube/config)",
    )
    .option('--context <name>', 'context of the kubeconfig')
    .option('--namespace <ns>', 'namespace of the Links', DEFAULT_NAMESPACE)
    .option('--listen-address <ip>', 'address on which mirrored ports are opened', '0.0.0.0')
    .option('--admin <address>', 'address of /ready, /live and /metrics', '0.0.0.0:4192')
    .option('--grace <seconds>', 'time for open flows after SIGTERM', '30')
    .option('--log-level <level>', 'error, warn, info or debug', 'info')
    .action((flags: unknown) => run(parseFlags(schema, flags, 'egress')));
}

async function run(settings: Settings): Promise<void> {
  tuneForTraffic();
  const log = createLogger({ name: 'egress', level: settings.logLevel });
  const access = accessOf(settings);
  const identity = await openIdentity(settings, log);
  const client = clientFor(access, { clock: systemClock, random: Math.random, log }, settings.namespaces);
  const shared = { clock: systemClock, random: Math.random, log };
  const egress = new Egress({
    ...shared,
    identity,
    listenAddress: settings.listenAddress,
    lookup: systemLookup,
    streams: settings.streams,
    graceMs: settings.grace * 1000,
  });
  const routes = new RouteSource({
    ...shared,
    client,
    namespace: settings.namespace,
    onRoutes: (found) => egress.update(found),
  });
  const registry = createRegistry();
  publishAccounts(registry, egress.accounts, 'outbound');
  publishIdentity(registry, identity, systemClock);
  try {
    const admin = await startAdmin({
      address: parseAddress(settings.admin, '--admin'),
      registry,
      ready: () => (egress.ready.ok ? routes.ready : egress.ready),
      pages: new Map([['/try', () => egress.tryGateways()]]),
    });
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
    await routes.stop();
    await Promise.all([identity.close(), client.close()]);
  }
}
