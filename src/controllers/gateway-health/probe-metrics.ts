import { Counter, Gauge, Histogram, type Registry } from '../../telemetry/registry.ts';
import type { ProbeObserver } from './gateway-probes.ts';
import type { ProbeOutcome } from '../../api/reasons/probe-outcome.ts';

const CLUSTER = 'target_cluster_name';

/** Linkerd's: 1 to 5, 10 to 50, 100 to 500 … 10,000 to 50,000 milliseconds. */
const LATENCY_BUCKETS_MS = [1, 10, 100, 1000, 10_000].flatMap((unit) => [1, 2, 3, 4, 5].map((n) => n * unit));

/**
 * The metrics of gateway probes, under Linkerd's names. Unlike Linkerd's, `gateway_probes` counts every
 * probe, and the series of a cluster go when its Link has gone.
 */
export class ProbeMetrics implements ProbeObserver {
  readonly #alive: Gauge;
  readonly #enabled: Gauge;
  readonly #latency: Gauge;
  readonly #latencies: Histogram;
  readonly #probes: Counter;
  /**
   * The `GatewayProbes` whose series a cluster's are: replaced ones, when they stop, must not drop their
   * successors'.
   */
  readonly #owners = new Map<string, object>();

  constructor(registry: Registry) {
    const labelNames = [CLUSTER];
    const registers = [registry];
    this.#alive = new Gauge({
      name: 'gateway_alive',
      help: 'Whether an address of the gateway answers its probes: 1, else 0.',
      labelNames,
      registers,
    });
    this.#enabled = new Gauge({
      name: 'gateway_enabled',
      help: 'Whether the gateway is probed: 1.',
      labelNames,
      registers,
    });
    this.#latency = new Gauge({
      name: 'gateway_latency',
      help: 'Time that the last answered probe took, in milliseconds.',
      labelNames,
      registers,
    });
    this.#latencies = new Histogram({
      name: 'gateway_probe_latency_ms',
      help: 'Time that answered probes took, in milliseconds.',
      labelNames,
      registers,
      buckets: LATENCY_BUCKETS_MS,
    });
    this.#probes = new Counter({
      name: 'gateway_probes',
      help: 'Probes sent to the gateway, by whether they were answered with 200.',
      labelNames: [CLUSTER, 'probe_successful'],
      registers,
    });
  }

  started(cluster: string, gateway: object): void {
    this.#owners.set(cluster, gateway);
    this.#enabled.set({ [CLUSTER]: cluster }, 1);
    this.#alive.set({ [CLUSTER]: cluster }, 0);
  }

  probed(cluster: string, outcome: ProbeOutcome): void {
    this.#probes.inc({ [CLUSTER]: cluster, probe_successful: String(outcome.ok) });
    if (!outcome.ok) return;
    this.#latency.set({ [CLUSTER]: cluster }, outcome.latencyMs);
    this.#latencies.observe({ [CLUSTER]: cluster }, outcome.latencyMs);
  }

  alive(cluster: string, alive: boolean): void {
    this.#alive.set({ [CLUSTER]: cluster }, alive ? 1 : 0);
  }

  stopped(cluster: string, gateway: object): void {
    if (this.#owners.get(cluster) === gateway) this.forget(cluster);
  }

  /** Drops every series of a cluster. */
  forget(cluster: string): void {
    this.#owners.delete(cluster);
    const labels = { [CLUSTER]: cluster };
    for (const metric of [this.#alive, this.#enabled, this.#latency, this.#latencies]) metric.remove(labels);
    for (const ok of ['true', 'false']) this.#probes.remove({ ...labels, probe_successful: ok });
  }
}
