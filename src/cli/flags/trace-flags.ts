import type { Command } from 'commander';
import { z } from 'zod';
import { clusterName } from '../../processes/stats-of-process.ts';
import type { TracingSettings } from '../../processes/tracing.ts';
import { otlpSettings, resourceAttributes } from '../../telemetry/traces/otlp-settings.ts';

/** Flags for traces of requests. */
export const traceFlags = {
  traceEndpoint: z.string().optional(),
  traceSample: z.coerce.number().min(0).max(1),
  tracePaths: z.enum(['on', 'off']).transform((text) => text === 'on'),
};

/** Adds them to a verb. @param share default of `--trace-sample` */
export function addTraceFlags(command: Command, share: string): Command {
  return command
    .option(
      '--trace-endpoint <url>',
      'where spans are sent: the address of a collector that takes OTLP over HTTP, such as http://collector.observability:4318 (default: as $OTEL_EXPORTER_OTLP_ENDPOINT says; neither: no traces)',
    )
    .option(
      '--trace-sample <share>',
      'part, from 0 to 1, of the requests that are recorded where nobody has decided about them before',
      share,
    )
    .option('--trace-paths <switch>', 'on: spans tell paths, without their query; off: they do not', 'on');
}

/** The settings from the flags and the environment. @throws LinkspanError CONFIG_INVALID */
export function tracingOf(
  flags: {
    readonly traceEndpoint?: string | undefined;
    readonly traceSample: number;
    readonly tracePaths: boolean;
  },
  env: NodeJS.ProcessEnv,
): TracingSettings | undefined {
  const otlp = otlpSettings(flags.traceEndpoint, env);
  if (otlp === undefined) return undefined;
  return {
    otlp,
    resource: resourceAttributes(env),
    cluster: clusterName(env),
    share: flags.traceSample,
    paths: flags.tracePaths,
  };
}
