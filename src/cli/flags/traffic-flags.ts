import { z } from 'zod';
import type { Command } from 'commander';
import { formatDuration } from '../../base/duration.ts';
import { type ConnectionAge, DEFAULT_CONNECTION_AGE } from '../../identity/trust/open-peers.ts';
import { LATENCY_FORMATS } from '../../proxy/metrics/exposition-labels.ts';
import { durationFlag } from './cluster-flags.ts';

/** Flags for the maximum age of connections. */
export const connectionAgeFlags = { maxConnectionAge: durationFlag, maxConnectionGrace: durationFlag };

/** Adds them to a verb. @param whose which connections are meant */
export function addConnectionAgeFlags(command: Command, whose: string): Command {
  return command
    .option(
      '--max-connection-age <time>',
      `age at which ${whose} are asked to begin nothing new, give or take a tenth (HTTP/2: GOAWAY, HTTP/1: Connection: close); 0s: never`,
      formatDuration(DEFAULT_CONNECTION_AGE.maxAgeMs),
    )
    .option(
      '--max-connection-grace <time>',
      'how long what is under way then, raw connections among it, may go on',
      formatDuration(DEFAULT_CONNECTION_AGE.graceMs),
    );
}

/** The settings from the flags. */
export function connectionAgeOf(flags: {
  readonly maxConnectionAge: number;
  readonly maxConnectionGrace: number;
}): ConnectionAge {
  return { maxAgeMs: flags.maxConnectionAge, graceMs: flags.maxConnectionGrace };
}

/** How latency is told to whoever asks for metrics in protobuf. */
export const latencyFlag = { latencyMetrics: z.enum(LATENCY_FORMATS) };

export function addLatencyFlag(command: Command): Command {
  return command.option(
    '--latency-metrics <form>',
    'what of latency is in metrics for whoever asks for protobuf: classic (bounds, by status, as in the text), native (one native histogram for each service), both',
    'both',
  );
}

/** Stream mode of gateway and egress. */
export const streamsFlag = {
  streams: z.enum(['on', 'off']).transform((text) => text === 'on'),
};

export function addStreamsFlag(command: Command): Command {
  return command.option(
    '--streams <switch>',
    'on: between egress and gateway, flows share a few connections (either side may turn it off); off: a connection for each, as with a Linkerd gateway',
    'on',
  );
}
