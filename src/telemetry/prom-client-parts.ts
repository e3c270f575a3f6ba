import { createRequire } from 'node:module';
import type { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** The parts of prom-client that processes need. */
interface PromClientParts {
  readonly Counter: typeof Counter;
  readonly Gauge: typeof Gauge;
  readonly Histogram: typeof Histogram;
  readonly Registry: typeof Registry;
}

type DefaultMetric = (registry: Registry, config: { readonly eventLoopMonitoringPrecision: number }) => void;

/** prom-client's default metrics but for `processCpuTotal`, which loads 51 files of OpenTelemetry's. */
const DEFAULT_METRICS = [
  'processStartTime',
  'osMemoryHeap',
  'processOpenFileDescriptors',
  'processMaxFileDescriptors',
  'eventLoopLag',
  'processResources',
  'processHandles',
  'processRequests',
  'heapSizeAndUsed',
  'version',
  'gc',
];

const load = createRequire(import.meta.url);

/**
 * The parts of prom-client that processes need, loaded by their files: the whole has a push gateway,
 * clustering, summaries and OpenTelemetry's API beside them, which take two thirds of the 100 ms of CPU that
 * it costs a start. A newer prom-client that moves them fails here, and in every test of metrics; the lock
 * file pins the version.
 */
export const promClient: PromClientParts = {
  Counter: load('prom-client/lib/counter.js') as typeof Counter,
  Gauge: load('prom-client/lib/gauge.js') as typeof Gauge,
  Histogram: load('prom-client/lib/histogram.js') as typeof Histogram,
  Registry: load('prom-client/lib/registry.js') as typeof Registry,
};

/**
 * Which only V8 has: Bun's numbers are zero but for one, and to tell that one it walks the whole heap, which
 * stops everything for 10 ms.
 */
const OF_V8 = ['heapSpacesSizeAndUsed'];

/** Registers what prom-client's `collectDefaultMetrics` does, by the same names. */
export function collectDefaultMetrics(register: Registry): void {
  cpuMetrics(register);
  // 10 ms is prom-client's own default.
  for (const name of process.versions.bun === undefined ? [...DEFAULT_METRICS, ...OF_V8] : DEFAULT_METRICS)
    (load(`prom-client/lib/metrics/${name}.js`) as DefaultMetric)(register, {
      eventLoopMonitoringPrecision: 10,
    });
}

/** CPU time since the process began, seconds; Prometheus' names for it. */
function cpuMetrics(register: Registry): void {
  const told = { user: 0, system: 0, both: 0 };
  const counter = (name: string, what: string, collect?: () => void) =>
    new promClient.Counter({
      name,
      help: `Total ${what}CPU time spent in seconds.`,
      registers: [register],
      ...(collect === undefined ? {} : { collect }),
    });
  // One reading for all three, by the first that is asked, so that they add up.
  const user = counter('process_cpu_user_seconds_total', 'user ', () => {
    const used = process.cpuUsage();
    for (const [key, metric, micros] of [
      ['user', user, used.user],
      ['system', system, used.system],
      ['both', both, used.user + used.system],
    ] as const) {
      metric.inc((micros - told[key]) / 1e6);
      told[key] = micros;
    }
  });
  const system = counter('process_cpu_system_seconds_total', 'system ');
  const both = counter('process_cpu_seconds_total', 'user and system ');
}
