import type { Command } from 'commander';
import { z } from 'zod';
import type { ConnectionLimits } from '../../base/connection-admission.ts';
import { ownLimits } from '../../gateway/connection-limits.ts';

/** Flags of the gateway about how many connections it takes. */
export const connectionLimitFlags = {
  maxHandshakes: z.coerce.number().int().min(1).optional(),
  maxConnections: z.coerce.number().int().min(1).optional(),
};

/** Adds them to a verb. */
export function withConnectionLimitFlags(command: Command): Command {
  return command
    .option(
      '--max-handshakes <n>',
      'connections of clients that have not proven who they are (in each worker); for one more, the oldest of the address that has most of them ends (default: what an eighth of the memory limit bears)',
    )
    .option(
      '--max-connections <n>',
      'connections in all (in each worker; default: what three quarters of the memory limit bear)',
    );
}

/** The limits from the flags; those that were not given follow from the memory. */
export function connectionLimitsOf(
  flags: z.output<z.ZodObject<typeof connectionLimitFlags>> & { readonly workers: number },
): ConnectionLimits {
  const { handshakes, connections } = ownLimits(flags.workers);
  return {
    handshakes: flags.maxHandshakes ?? handshakes,
    connections: flags.maxConnections ?? connections,
  };
}
