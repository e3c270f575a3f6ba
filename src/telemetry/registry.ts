import { collectDefaultMetrics, Registry as PromRegistry } from 'prom-client';

/** Text of metrics, or its pieces, made lazily. */
export type MetricsText = string | Iterable<string>;

/** Metrics of a process: prom-client's, and text that is written when Prometheus asks. */
export class Registry extends PromRegistry {
  readonly #sources: (() => MetricsText | Promise<MetricsText>)[] = [];

  /** Adds metrics that write themselves at scrape time (`Exposition.pieces`). */
  addText(source: () => MetricsText | Promise<MetricsText>): void {
    this.#sources.push(source);
  }

  override async metrics(): Promise<string> {
    let text = '';
    for await (const piece of this.pieces()) text += piece;
    return text;
  }

  /** The text of all metrics in short pieces. Sources are called one after the other. */
  async *pieces(): AsyncGenerator<string> {
    yield await super.metrics();
    for (const source of this.#sources) {
      const text = await source();
      if (typeof text === 'string') yield text;
      else yield* text;
    }
  }
}

/**
 * A new registry with the process' default metrics. A process has one and passes it on; nothing registers
 * globally. Hot paths count in plain numbers and publish them in a metric's `collect`, or as text
 * (`Registry.addText`).
 */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

export { Counter, Gauge, Histogram } from 'prom-client';
