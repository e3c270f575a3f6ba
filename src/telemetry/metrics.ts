import { collectDefaultMetrics, Registry as PromRegistry } from 'prom-client';

/** Metrics of a process: prom-client's, and text that is written when Prometheus asks. */
export class Registry extends PromRegistry {
  readonly #sources: (() => string | Promise<string>)[] = [];

  /** Adds metrics that write themselves at scrape time (`Exposition`). */
  addText(source: () => string | Promise<string>): void {
    this.#sources.push(source);
  }

  override async metrics(): Promise<string> {
    const parts = await Promise.all([super.metrics(), ...this.#sources.map((source) => source())]);
    return parts.filter((part) => part !== '').join('\n');
  }
}

/**
 * A fresh metrics registry with the process's default metrics. One per process, handed down: nothing registers globally.
 * Hot paths count in plain numbers and publish them in a metric's `collect`, or as text (`Registry.addText`).
 */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

export { Counter, Gauge, Histogram } from 'prom-client';
