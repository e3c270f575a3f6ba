import type { Counter as PromCounter, Gauge as PromGauge, Histogram as PromHistogram } from 'prom-client';
import type { MetricsPieces } from './exposition.ts';
import { Turns } from './pieces.ts';
import { type PromMetric, promMessage } from './prom-client-messages.ts';
import { collectDefaultMetrics, promClient } from './prom-client-parts.ts';

/** Text of metrics, or its pieces, made lazily; what has no `protobuf` is left out of that format. */
export type MetricsText = string | Iterable<string> | MetricsPieces;

/** Metrics of a process: prom-client's, and text that is written when Prometheus asks. */
export class Registry extends promClient.Registry {
  readonly #sources: (() => MetricsText | Promise<MetricsText>)[] = [];
  readonly #now: () => number;

  /** @param now monotonic milliseconds, by which work is divided among turns of the event loop */
  constructor(now = () => performance.now()) {
    super();
    this.#now = now;
  }

  /** How its work is divided. */
  turns(): Turns {
    return new Turns(this.#now);
  }

  /** Adds metrics that write themselves at scrape time (`Exposition.pieces`). */
  addText(source: () => MetricsText | Promise<MetricsText>): void {
    this.#sources.push(source);
  }

  override async metrics(): Promise<string> {
    return [...(await this.read())].join('');
  }

  /**
   * Reads the numbers of all metrics, in turns of the event loop; their text is made piece by piece, as it is
   * taken. Can be iterated once.
   * @throws what a source throws
   */
  async read(): Promise<Iterable<string>> {
    const own = await super.metrics();
    return piecesOf([own, ...(await this.#texts())]);
  }

  /** The same as protobuf (`PROTOBUF_TYPE`), as `read`; some pieces are empty. */
  async readProtobuf(): Promise<Iterable<Buffer>> {
    const own = (await super.getMetricsAsJSON()) as unknown as PromMetric[];
    return messagesOf(own, await this.#texts());
  }

  async #texts(): Promise<MetricsText[]> {
    const turns = this.turns();
    const texts: MetricsText[] = [];
    for (const source of this.#sources) {
      await turns.rest();
      texts.push(await source());
    }
    return texts;
  }
}

/** Messages of all metrics that can be told so. */
function* messagesOf(own: readonly PromMetric[], texts: readonly MetricsText[]): Iterable<Buffer> {
  for (const metric of own) yield* promMessage(metric);
  for (const text of texts) if (typeof text !== 'string' && 'protobuf' in text) yield* text.protobuf();
}

function* piecesOf(texts: readonly MetricsText[]): Iterable<string> {
  for (const text of texts) {
    if (typeof text === 'string') yield text;
    else yield* text;
  }
}

/**
 * A new registry with the process' default metrics. A process has one and passes it on; nothing registers
 * globally. Hot paths count in plain numbers and publish them in a metric's `collect`, or as text
 * (`Registry.addText`).
 */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics(registry);
  return registry;
}

/**
 * Makes a gauge whose series are worked out when Prometheus asks; those of the last time are gone by then.
 */
export type MakeGauge = (
  name: string,
  help: string,
  labels: string[],
  collect: (gauge: Gauge) => void,
) => void;

/** Gauges of what is known at the moment, registered here. */
export function collectedGauges(registry: Registry): MakeGauge {
  return (name, help, labels, collect) => {
    const metric: Gauge = new Gauge({
      name,
      help,
      labelNames: labels,
      registers: [registry],
      collect() {
        metric.reset();
        collect(metric);
      },
    });
  };
}

/** Metrics that are numbers at all times; prom-client's. */
export const { Counter, Gauge, Histogram } = promClient;
export type Counter<T extends string = string> = PromCounter<T>;
export type Gauge<T extends string = string> = PromGauge<T>;
export type Histogram<T extends string = string> = PromHistogram<T>;
