import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/backoff.ts';
import { readVersion } from '../base/version.ts';
import { Tracer, type TracerOptions } from '../proxy/tracing/tracer.ts';
import type { Logger } from '../telemetry/log.ts';
import type { OtlpSettings } from '../telemetry/traces/otlp-settings.ts';
import type { Attributes } from '../telemetry/traces/span.ts';
import { NO_SPANS, type SpanCounts } from '../telemetry/traces/span-counts.ts';
import { SpanExporter } from '../telemetry/traces/span-exporter.ts';

/** What is recorded of requests, and where it is sent. */
export interface TracingSettings extends Pick<TracerOptions, 'share' | 'paths' | 'cluster'> {
  readonly otlp: OtlpSettings;
  /** What the environment says of this process. */
  readonly resource: Attributes;
}

/** The tracing of a process. */
export interface Tracing {
  /** Undefined: nothing is recorded. */
  readonly tracer: Tracer | undefined;
  readonly counts: SpanCounts;
  /** Sends what waits, for 2 s at most. To be called when all flows have ended. */
  close(): Promise<void>;
}

const NO_TRACING: Tracing = { tracer: undefined, counts: NO_SPANS, close: () => Promise.resolve() };

/** Opens the tracing of a process. @param settings undefined: it is off */
export function openTracing(
  settings: TracingSettings | undefined,
  process: 'gateway' | 'egress',
  parts: {
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Logger;
    /** Of a process whose targets lie elsewhere. */
    readonly placeOf?: TracerOptions['placeOf'];
  },
): Tracing {
  if (settings === undefined) return NO_TRACING;
  const { clock, random, log } = parts;
  const version = readVersion();
  const attributes = {
    'service.name': `linkspan-${process}`,
    'service.version': version,
    'service.instance.id': crypto.randomUUID(),
    'telemetry.sdk.name': 'linkspan',
    'telemetry.sdk.language': 'nodejs',
    'telemetry.sdk.version': version,
    ...settings.resource,
  };
  const { otlp } = settings;
  const exporter = new SpanExporter({
    settings: otlp,
    resource: { attributes, version },
    clock,
    random,
    log,
  });
  const tracer = new Tracer({ ...parts, ...settings, sink: exporter });
  log.info({ collector: otlp.url.host, share: settings.share }, 'requests are traced');
  return {
    tracer,
    get counts() {
      return exporter.counts;
    },
    close: () => exporter.close(),
  };
}
