import {
  CONTROLLER_TRY_PAGE,
  EXPLAIN_PAGE,
  MIRRORS_PAGE,
  readExplainQuestion,
} from '../api/answers/admin-answers.ts';
import type { MirrorControllerSettings } from '../controllers/controller-settings.ts';
import { MirrorController } from '../controllers/mirror-controller.ts';
import { publishMirrorMetrics } from '../controllers/controller-metrics.ts';
import { publishFailoverMetrics } from '../controllers/failover-metrics.ts';
import { explainName } from '../controllers/explain.ts';
import { tryGateways } from '../controllers/gateway-tries.ts';
import { reportLinks } from '../controllers/link-reports.ts';
import type { Explanation } from '../api/answers/admin-answers.ts';
import type { GatewayHealthFactory } from '../controllers/gateway-health/gateway-probes.ts';
import { GatewayProbes } from '../controllers/gateway-health/gateway-probes.ts';
import { ProbeMetrics } from '../controllers/gateway-health/probe-metrics.ts';
import { Prober } from '../controllers/gateway-health/probe-request.ts';
import { linkerdInstalled } from '../controllers/linkerd-detection.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import type { SocketAddress } from '../base/address.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { publishHostNames } from '../dns/dns-metrics.ts';
import { HostNames } from '../dns/host-names.ts';
import { systemLookUp } from '../dns/system-look-up.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import type { ClusterAccess } from '../kube/client/access.ts';
import { isForbidden, KubeClient } from '../kube/client/kube-client.ts';
import { startAdmin } from '../telemetry/admin.ts';
import { LastResort, publishProcessErrors } from '../telemetry/last-resort.ts';
import type { Logger } from '../telemetry/log.ts';
import { createRegistry, type Registry } from '../telemetry/registry.ts';
import { StopSignals } from './signals.ts';

/** Settings of a controller process. */
export interface ControllerProcess {
  readonly log: Logger;
  /** To the source cluster. */
  readonly access: ClusterAccess;
  readonly admin: SocketAddress;
  /** Name of this replica in its Leases. */
  readonly replica: string;
  /** Namespace of the Links. */
  readonly namespace: string;
  /** As it was asked for; for the log. */
  readonly dataPath: string;
  /** Whether its account is restricted to some namespaces, and may not see whether Linkerd is installed. */
  readonly scoped: boolean;
  /** The controller's settings, by whether Linkerd is installed. */
  readonly settings: (meshed: boolean) => MirrorControllerSettings;
  /** Opens the client identity for probes of gateways that demand mTLS; undefined: there is none. */
  readonly openIdentity: (() => Promise<IdentitySource>) | undefined;
}

/** Runs a controller until the process is told to end. */
export async function runController(options: ControllerProcess): Promise<void> {
  const stops = new StopSignals();
  const { log, access } = options;
  const lastResort = new LastResort({ log, clock: systemClock });
  const registry = createRegistry();
  publishProcessErrors(registry, lastResort);
  let controller: MirrorController | undefined;
  lastResort.surviveUncaught();
  const admin = await startAdmin({
    address: options.admin,
    registry,
    ready: () => controller?.ready ?? { ok: false, reason: `waiting for the API server ${access.server}` },
    live: () => controller?.live ?? { ok: true, reason: '' },
    pages: new Map<string, (query: URLSearchParams) => unknown>([
      [MIRRORS_PAGE.path, () => (controller === undefined ? [] : reportLinks(controller))],
      [CONTROLLER_TRY_PAGE.path, () => (controller === undefined ? [] : tryGateways(controller))],
      [EXPLAIN_PAGE.path, (query) => (controller === undefined ? [] : explain(controller, query))],
    ]),
  });
  const identity = await options.openIdentity?.();
  const stopping = new AbortController();
  const stopped = stops.untilStopped(async (signal) => {
    log.info({ signal }, 'stopping');
    stopping.abort();
    await controller?.stop();
    await admin.close();
    await identity?.close();
  });
  const meshed = await detectMesh(options, stopping.signal);
  // Also one that came behind the answer: nobody would stop what is begun after it.
  if (meshed !== undefined && !stops.came) {
    const shared = { clock: systemClock, random: Math.random, log };
    const names = new HostNames({ ...shared, lookUp: systemLookUp(shared) });
    controller = new MirrorController({
      access,
      replica: options.replica,
      ...shared,
      names,
      health: probing(registry, identity, log),
      settings: options.settings(meshed),
    });
    publishMirrorMetrics(registry, controller);
    publishFailoverMetrics(registry, controller.failover, systemClock);
    publishHostNames(registry, names);
    controller.start();
  }
  await stopped;
}

/** How gateways are probed and the probes counted, under Linkerd's metric names. */
function probing(
  registry: Registry,
  identity: IdentitySource | undefined,
  log: Logger,
): GatewayHealthFactory {
  const prober = new Prober({ identity: () => identity?.current(), clock: systemClock });
  const observer = new ProbeMetrics(registry);
  return ({ probe, ...options }) =>
    new GatewayProbes({
      ...options,
      spec: probe,
      prober,
      observer,
      clock: systemClock,
      random: Math.random,
      log,
    });
}

function explain(controller: MirrorController, query: URLSearchParams): Explanation[] {
  const { namespace, name } = readExplainQuestion(query);
  return explainName(controller, namespace, name);
}

/**
 * Asks the API server until it answers whether Linkerd is installed; undefined when the process was stopped
 * meanwhile.
 */
async function detectMesh(options: ControllerProcess, signal: AbortSignal): Promise<boolean | undefined> {
  const { access, log, dataPath, namespace } = options;
  const client = new KubeClient(access, { clock: systemClock, random: Math.random });
  // A server that does not answer must not delay the end of the process.
  const giveUp = () => void client.close();
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    for (;;) {
      if (signal.aborted) return undefined;
      try {
        const meshed = await linkerdInstalled(client);
        log.info({ meshed, dataPath, namespace, server: access.server }, 'starting');
        return meshed;
      } catch (error) {
        if (options.scoped && isForbidden(error)) {
          // A restricted account may not look, and works without Linkerd.
          log.info({ why: messageOf(error) }, 'starting without Linkerd');
          return false;
        }
        if (signal.aborted) return undefined;
        log.error({ err: error }, 'source cluster not reachable, trying again');
        await sleep(systemClock, 2000, signal).catch(() => undefined);
      }
    }
  } finally {
    signal.removeEventListener('abort', giveUp);
    await client.close();
  }
}
