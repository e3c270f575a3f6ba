import type { Command } from 'commander';
import { z } from 'zod';

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
