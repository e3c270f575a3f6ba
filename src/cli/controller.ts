import { Command } from 'commander';
import { promises as dns } from 'node:dns';
import { hostname } from 'node:os';
import { z } from 'zod';
import { parseAddress } from '../base/address.ts';
import { systemClock } from '../base/clock.ts';
import { parseFlags } from '../base/config.ts';
import { DEFAULT_EGRESS_NAME, DEFAULT_NAMESPACE } from '../base/names.ts';
import { untilStopped } from '../base/shutdown.ts';
import { loadAccess } from '../kube/access.ts';
import { KubeClient } from '../kube/client.ts';
import { Controller } from '../mirror/controller.ts';
import { linkerdInstalled } from '../mirror/detect.ts';
import { DEFAULT_EGRESS_RANGE } from '../mirror/egress-ports.ts';
import type { Resolver } from '../mirror/gateway-addresses.ts';
import { publishMirrorMetrics } from '../mirror/metrics.ts';
import { startAdmin } from '../telemetry/admin.ts';
import { createLogger, type Logger } from '../telemetry/log.ts';
import { createRegistry } from '../telemetry/metrics.ts';

const schema = z.strictObject({
  kubeconfig: z.string().optional(),
  context: z.string().optional(),
  namespace: z.string(),
  dataPath: z.enum(['auto', 'gateway', 'relay']),
  egressService: z.string(),
  dropGuard: z.coerce.number().min(0).max(1),
  concurrency: z.coerce.number().int().min(1).max(1024),
  admin: z.string(),
  replica: z.string().min(1),
  logLevel: z.enum(['error', 'warn', 'info', 'debug']),
});
type Settings = z.output<typeof schema>;

/** `linkspan controller`: mirrors the exports of every linked cluster into this one. */
export function controllerCommand(): Command {
  return new Command('controller')
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
    .option('--concurrency <n>', 'mirrors of one cluster that are written at once', '32')
    .option('--admin <address>', 'address of /ready, /live and /metrics', '0.0.0.0:9999')
    .option('--replica <name>', 'name of this replica in its Leases', process.env['HOSTNAME'] ?? hostname())
    .option('--log-level <level>', 'error, warn, info or debug', 'info')
    .action((flags: unknown) => run(parseFlags(schema, flags, 'controller')));
}

async function run(settings: Settings): Promise<void> {
  const log = createLogger({ name: 'controller', level: settings.logLevel });
  const context = settings.context === undefined ? {} : { context: settings.context };
  const access = loadAccess(
    settings.kubeconfig === undefined
      ? { default: true, ...context }
      : { file: settings.kubeconfig, ...context },
  );
  const registry = createRegistry();
  let controller: Controller | undefined;
  const admin = await startAdmin({
    address: parseAddress(settings.admin, '--admin'),
    registry,
    ready: () => controller?.ready ?? { ok: false, reason: `waiting for the API server ${access.server}` },
  });
  const stopping = new AbortController();
  const stopped = untilStopped(async (signal) => {
    log.info({ signal }, 'stopping');
    stopping.abort();
    await controller?.stop();
    await admin.close();
  });
  const meshed = await detectMesh(access, settings, log, stopping.signal);
  if (meshed !== undefined) {
    controller = new Controller({
      access,
      replica: settings.replica,
      resolver: resolveHost,
      clock: systemClock,
      random: Math.random,
      log,
      settings: {
        namespace: settings.namespace,
        egressService: settings.egressService,
        dataPath: settings.dataPath === 'auto' ? (meshed ? 'gateway' : 'relay') : settings.dataPath,
        writeEndpoints: meshed,
        dropGuard: { fraction: settings.dropGuard },
        concurrency: settings.concurrency,
        egressRange: DEFAULT_EGRESS_RANGE,
      },
    });
    publishMirrorMetrics(registry, controller);
    controller.start();
  }
  await stopped;
}

/** Asks until the API server can say whether Linkerd is there; undefined when the process was stopped meanwhile. */
async function detectMesh(
  access: ReturnType<typeof loadAccess>,
  settings: Settings,
  log: Logger,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  const client = new KubeClient(access, { clock: systemClock, random: Math.random });
  try {
    for (;;) {
      if (signal.aborted) return undefined;
      try {
        const meshed = await linkerdInstalled(client);
        log.info(
          { meshed, dataPath: settings.dataPath, namespace: settings.namespace, server: access.server },
          'starting',
        );
        return meshed;
      } catch (error) {
        log.error({ err: error }, 'source cluster not reachable, trying again');
        await new Promise<void>((resolve) => systemClock.after(2000, resolve));
      }
    }
  } finally {
    await client.close();
  }
}

/** Addresses of a host name with their TTL; names that only the system's resolver knows (/etc/hosts) count as good for 30 s. */
const resolveHost: Resolver = async (host) => {
  try {
    const records = await dns.resolve4(host, { ttl: true });
    if (records.length > 0) {
      return {
        addresses: records.map(({ address }) => address),
        ttlMs: Math.min(...records.map(({ ttl }) => ttl)) * 1000,
      };
    }
  } catch {
    // Asked below in the other way, whose error is the one to report.
  }
  const found = await dns.lookup(host, { all: true });
  return { addresses: found.map(({ address }) => address), ttlMs: 30_000 };
};
