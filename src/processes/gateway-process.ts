import { STATS_PAGE, type SyncStats } from '../api/answers/stats-report.ts';
import { listenOn } from '../base/listen.ts';
import { targetKey } from '../api/ports/target-key.ts';
import { createServer } from 'node:net';
import { formatAddress, type SocketAddress } from '../base/address.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { TargetSource } from '../discovery/target-spec.ts';
import type { ConnectionLimits } from '../base/connection-admission.ts';
import { adminTls } from '../gateway/admin-tls.ts';
import { adminViewOf, type GatewayAdminView } from '../gateway/admin-view.ts';
import type { FixedListener } from '../gateway/acceptors/fixed-acceptor.ts';
import { Gateway } from '../gateway/gateway.ts';
import { gatewayStats, publishGateway, type WorkerCounts } from '../gateway/gateway-metrics.ts';
import type { PolicySource } from '../gateway/authorization/policy-source.ts';
import type { OwnService } from '../gateway/own-service.ts';
import { readinessQuery } from '../gateway/target-readiness.ts';
import { answerParent, forkWorker } from '../gateway/workers/worker.ts';
import { GatewayWorkers } from '../gateway/workers/gateway-workers.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import type { ConnectionAge } from '../identity/trust/open-peers.ts';
import { publishIdentity } from '../identity/identity-metrics.ts';
import type { LatencyFormat } from '../proxy/metrics/exposition-labels.ts';
import { type AdminServer, startAdmin } from '../telemetry/admin.ts';
import type { LastResort } from '../telemetry/last-resort.ts';
import { levelOf, type Logger } from '../telemetry/log.ts';
import { createRegistry } from '../telemetry/registry.ts';
import { StatsOfProcess } from './stats-of-process.ts';
import { openTaps, type TapSettings } from './taps.ts';
import { type AccessLogSettings, openAccessLog } from './access-log-output.ts';
import { StopSignals } from './signals.ts';
import { openTracing, type TracingSettings } from './tracing.ts';
import { endOfStart } from './v8-tuning.ts';
import { readVersion } from '../base/version.ts';

/** Time beyond the grace period after which a worker that has not ended is killed, milliseconds. */
const WORKER_END_MS = 5000;
/** How often it is looked whether the gateway is ready, milliseconds. */
const READY_POLL_MS = 50;

/** What a gateway needs in each of its three forms: one process, parent, worker. */
export interface GatewayRun extends AccessLogSettings, TapSettings {
  readonly listen: SocketAddress;
  readonly listeners: readonly FixedListener[];
  /** Address of the admin port with all pages, for this cluster's operators. */
  readonly admin: SocketAddress;
  /** Address of the port with health pages only, which other clusters reach. */
  readonly probe: SocketAddress;
  readonly graceMs: number;
  readonly workers: number;
  readonly streams: boolean;
  /** Default both. */
  readonly latencyMetrics?: LatencyFormat;
  readonly connectionAge: ConnectionAge;
  readonly maxPending: number;
  readonly connectionLimits: ConnectionLimits;
  /** Undefined: requests are not traced. */
  readonly tracing: TracingSettings | undefined;
  readonly allowTrustDomains: readonly string[];
  readonly trustedRelays: readonly string[];
  readonly log: Logger;
  /** Its `surviveUncaught` is called before the first input from outside is read. */
  readonly lastResort: LastResort;
  /** @throws LinkspanError */
  openIdentity(): Promise<IdentitySource>;
  /** What its own Service says of it; undefined: it is not known which one that is. */
  readonly openOwnService?: (() => OwnService) | undefined;
  /** @throws LinkspanError */
  openTargets(identity: IdentitySource): Promise<OpenTargets>;
}

/** Targets, the policies about them, and how to close both. */
export interface OpenTargets {
  readonly targets: TargetSource;
  readonly policies: PolicySource;
  /** What of it is followed at an API server. */
  readonly sync: () => readonly SyncStats[];
  close(): Promise<void>;
}

interface Served {
  readonly gateway: Gateway;
  readonly view: GatewayAdminView;
  readonly identity: IdentitySource;
  listen(): Promise<void>;
  close(): Promise<void>;
}

/** A gateway in one process. */
export async function runAlone(run: GatewayRun): Promise<void> {
  const stops = new StopSignals();
  // What is wrong with an address is told at once, however long it takes until it is used.
  for (const address of addressesOf(run)) if (address.port !== 0) await assertFree(address);
  const served = await openGateway(run, false);
  try {
    const view = served.view;
    const counts = (): WorkerCounts => ({ ready: Number(served.gateway.ready.ok), wanted: 1, restarts: 0 });
    const admin = await openAdmin(run, { identity: served.identity, view, counts });
    await listenWhenReady(served, () => stops.came).catch(async (error: unknown) => {
      await admin.close();
      throw error;
    });
    endOfStart();
    await stops.untilStopped(async (signal) => {
      run.log.info({ signal }, 'draining');
      await served.gateway.stop();
      await admin.close();
    });
  } finally {
    await served.close();
  }
}

/**
 * Opens the ports once it is known what is served and to whom. Before that every answer would be a wrong one
 * (404, 403), which ends a request, where a connection that is refused lets it go to another gateway; and the
 * kernel would give connections to a worker that cannot serve yet.
 */
async function listenWhenReady(served: Served, isStopping: () => boolean): Promise<void> {
  while (!served.gateway.ready.ok && !isStopping()) await sleep(systemClock, READY_POLL_MS);
  if (!isStopping()) await served.listen();
}

/** One of several processes on the same port. */
export async function runWorker(run: GatewayRun): Promise<void> {
  // A terminal sends signals to every process of the group; workers stop when the parent tells them.
  process.on('SIGINT', () => undefined);
  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) =>
    stopping.signal.addEventListener('abort', () => resolve(), { once: true }),
  );
  process.on('SIGTERM', () => stopping.abort());
  const served = await openGateway(run, true);
  const parent = answerParent(served.view, run.log);
  try {
    parent.started();
    await listenWhenReady(served, () => stopping.signal.aborted);
    await stopped;
    await served.gateway.stop();
  } finally {
    await parent.close();
    await served.close();
  }
}

/**
 * Several processes on the same port; this one serves the admin port for all of them and carries no traffic.
 */
export async function runWorkers(run: GatewayRun): Promise<void> {
  const stops = new StopSignals();
  for (const address of addressesOf(run)) {
    if (address.port === 0)
      throw new LinkspanError('CONFIG_INVALID', 'gateway: --listen: port 0 cannot be shared by workers');
    await assertFree(address);
  }
  const { log, lastResort } = run;
  const identity = await run.openIdentity();
  lastResort.surviveUncaught();
  const workers = new GatewayWorkers({
    count: run.workers,
    spawn: forkWorker,
    clock: systemClock,
    random: Math.random,
    log,
    processErrors: () => lastResort.counts,
    stopMs: run.graceMs + WORKER_END_MS,
  });
  try {
    const admin = await openAdmin(run, { identity, view: workers, counts: () => workers.counts() });
    endOfStart();
    const stopped = stops.untilStopped(async (signal) => {
      log.info({ signal }, 'draining');
      await workers.stop();
      await admin.close();
    });
    try {
      if (!stops.came) await workers.start();
    } catch (error) {
      // A worker that was told to end before it could serve has not failed.
      if (stops.came) return void (await stopped);
      await workers.stop();
      await admin.close();
      throw error;
    }
    // Each says itself when it listens: not before it knows what it serves.
    if (!stops.came) log.info({ workers: run.workers }, 'workers started');
    await stopped;
  } finally {
    await identity.close();
  }
}

async function openGateway(run: GatewayRun, reusePort: boolean): Promise<Served> {
  const { log, graceMs } = run;
  const identity = await run.openIdentity();
  run.lastResort.surviveUncaught();
  const source = await run.openTargets(identity).catch(async (error: unknown) => {
    await identity.close();
    throw error;
  });
  const shared = { clock: systemClock, random: Math.random };
  const { accessLog, lines } = openAccessLog('gateway', run);
  const tracing = openTracing(run.tracing, 'gateway', { ...shared, log });
  const gateway = new Gateway({
    ...shared,
    tracer: tracing.tracer,
    listen: run.listen,
    listeners: run.listeners,
    identity,
    targets: source.targets,
    policies: source.policies,
    allowTrustDomains: run.allowTrustDomains,
    trustedRelays: run.trustedRelays,
    log,
    graceMs,
    reusePort,
    streams: run.streams,
    connectionAge: run.connectionAge,
    workers: run.workers,
    maxPending: run.maxPending,
    connectionLimits: run.connectionLimits,
    accessLog,
  });
  let listening = false;
  const view = adminViewOf({
    gateway,
    targets: source.targets,
    lines,
    lastResort: run.lastResort,
    sync: source.sync,
    clock: systemClock,
    tracing,
    listening: () => listening,
    setLogLevel: (level) => {
      log.level = level;
    },
  });
  return {
    gateway,
    view,
    identity,
    listen: async () => {
      const [address, ...fixed] = await gateway.start();
      listening = true;
      log.info({ listen: formatAddress(address), identity: identity.current()?.name }, 'gateway listens');
      for (const [index, { name, port, protocol }] of run.listeners.entries())
        log.info(
          { listen: formatAddress(fixed[index] ?? address), target: targetKey(name, port), protocol },
          'fixed listener',
        );
    },
    close: async () => {
      lines.close();
      await Promise.all([identity.close(), source.close(), tracing.close()]);
    },
  };
}

/** Opens the admin port and the probe port. */
async function openAdmin(
  run: GatewayRun,
  parts: {
    identity: IdentitySource;
    view: GatewayAdminView;
    counts: () => WorkerCounts | Promise<WorkerCounts>;
  },
): Promise<Pick<AdminServer, 'close'>> {
  const { identity, view, counts } = parts;
  const registry = createRegistry();
  publishGateway(registry, {
    listen: run.listen,
    version: readVersion(),
    latency: run.latencyMetrics,
    numbers: () => view.numbers(),
    workers: counts,
  });
  publishIdentity(registry, identity, systemClock);
  const taps = openTaps(run, { process: view, registry, log: run.log });
  const about = new StatsOfProcess({ clock: systemClock, identity, env: process.env });
  const recent = about.remember(async () => {
    const [numbers, pairs, sync, { ready: workers }] = await Promise.all([
      view.numbers(),
      view.pairs(),
      view.sync(),
      counts(),
    ]);
    return gatewayStats(numbers, pairs, { ...about.now, sync: [...sync], workers });
  }, run.log);
  const own = run.openOwnService?.();
  own?.start();
  const ready = async () => {
    const health = await view.ready();
    return health.ok && own?.ready.ok === false ? own.ready : health;
  };
  // Other networks reach this port through the load balancer, so it does not show what is exported, nor
  // reasons.
  const probe = await startAdmin({
    address: run.probe,
    reasons: false,
    ready: async () => own?.answer(await ready()) ?? ready(),
    tls: adminTls(identity, run.log),
  });
  const admin = await startAdmin({
    address: run.admin,
    registry,
    ready,
    readyPart: (path, query) => {
      const question = readinessQuery(path, query);
      if (question !== undefined) return view.targetReady(question);
      return { status: 404, reason: 'ask for /ready/<namespace>/<service>[?port=<port>]' };
    },
    logLevel: levelOf(run.log, (level) => view.setLogLevel(level)),
    pages: new Map([[STATS_PAGE.path, (query) => recent.answer(query)]]),
    ...(taps.streams === undefined ? {} : { streams: taps.streams }),
    tls: adminTls(identity, run.log),
  }).catch(async (error: unknown) => {
    recent.close();
    await Promise.all([probe.close(), taps.close(), own?.close()]);
    throw error;
  });
  const close = async () => {
    recent.close();
    await taps.end();
    await Promise.all([probe.close(), admin.close(), taps.close(), own?.close()]);
  };
  return { close };
}

/** The addresses for other clusters. */
function addressesOf({ listen, listeners }: GatewayRun): SocketAddress[] {
  return [listen, ...listeners.map(({ address }) => address)];
}

/** Checks that no other program has the port: with SO_REUSEPORT, binding it would succeed anyway. */
async function assertFree(address: SocketAddress): Promise<void> {
  const server = createServer();
  await listenOn(server, address, { exclusive: true });
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
