import type { Command } from 'commander';
import { z } from 'zod';
import { parseAccessLogMode } from '../../proxy/downstream/access-log-lines.ts';

const accessLog = z.string().transform((text, context) => {
  const mode = parseAccessLogMode(text);
  if (mode !== undefined) return mode;
  context.addIssue({
    code: 'custom',
    message: `"${text}" is none of off, errors, sampled, sampled:<share up to 1>, all`,
  });
  return z.NEVER;
});

/** The access log of gateway and egress. */
export const accessLogFlags = { accessLog, accessLogQuery: z.boolean().default(false) };

/** Adds them to a verb. */
export function addAccessLogFlags(command: Command): Command {
  return command
    .option(
      '--access-log <which>',
      'off, errors, sampled[:<share>] (errors and a share of the rest), all',
      'errors',
    )
    .option('--access-log-query', 'keep the query of paths in the access log');
}
