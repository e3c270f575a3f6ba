import type { Command } from 'commander';
import { z } from 'zod';
import { MAX_DRAIN_RAMP_MS } from '../../api/failover/failover-drain.ts';
import { DEFAULT_NAMESPACE } from '../../api/names.ts';
import { systemClock } from '../../base/clock.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { listItems } from '../../base/text.ts';
import { formatDuration } from '../../base/duration.ts';
import { clusterFlags, durationFlag, withClusterFlags } from './cluster-flags.ts';
import { outputFlag } from '../output/output.ts';

/** Longest drain, milliseconds: 30 days. What is meant to stay is a weight or a tier. */
const MAX_DRAIN_MS = 30 * 86_400_000;

/** A part in per cent, `10%`; 0 to 1. */
export const percentFlag = z.string().transform((text, context) => {
  const percent = /^\d{1,3}(\.\d{1,2})?%$/.test(text) ? Number(text.slice(0, -1)) : Number.NaN;
  if (percent <= 100) return percent / 100;
  context.addIssue({ code: 'custom', message: `"${text}" is not a part such as 0% or 25%` });
  return z.NEVER;
});

/** URLs of admin ports of the egress, with commas; undefined: its pods are asked. */
export const egressFlag = z
  .string()
  .optional()
  .transform((text) => (text === undefined ? undefined : listItems(text)));

/** `<namespace>/<service>`. */
export const serviceFlag = z
  .string()
  .regex(/^[a-z0-9][-a-z0-9]*\/[a-z0-9][-a-z0-9]*$/, { error: 'must be <namespace>/<service>' })
  .optional();

/** How far, how fast and how long, as `drain` takes it. */
export const drainWishFlags = {
  to: percentFlag,
  ramp: durationFlag.refine((ms) => ms <= MAX_DRAIN_RAMP_MS, {
    error: `must be ${formatDuration(MAX_DRAIN_RAMP_MS)} at most`,
  }),
  until: durationFlag.refine((ms) => ms > 0 && ms <= MAX_DRAIN_MS, {
    error: `must be more than nothing and ${formatDuration(MAX_DRAIN_MS)} at most`,
  }),
  reason: z.string().max(200, { error: 'must have 200 characters at most' }).optional(),
};

/** Adds them to a verb. */
export function withDrainWishFlags(command: Command): Command {
  return command
    .option('--ramp <time>', 'how long its share takes to fall, and later to grow again', '5m')
    .option('--to <part>', 'what is to be left of its share', '0%')
    .option('--until <time>', 'when it ends by itself, counted from now', '2h')
    .option('--reason <text>', 'why, for whoever looks at it');
}

/** Drains are of the cluster's time, not of this machine's. Milliseconds since the epoch. */
export async function serverTime(client: Pick<KubeClient, 'serverTime'>): Promise<number> {
  return (await client.serverTime()) ?? systemClock.now();
}

/** Flags of all verbs that drain in the source cluster. */
export const drainPlaceFlags = {
  ...clusterFlags,
  controllerNamespace: z.string(),
  service: serviceFlag,
  dryRun: z.boolean().default(false),
  output: outputFlag,
};

/** Adds them to a verb. */
export function withDrainPlaceFlags(command: Command): Command {
  return withClusterFlags(
    command
      .option(
        '--service <name>',
        'only of this Service, federated, without selector or with managed weights: <namespace>/<service>',
      )
      .option('--controller-namespace <ns>', 'namespace of the installation: of the Links', DEFAULT_NAMESPACE)
      .option('--dry-run', 'say what would happen, and write nothing')
      .option('-o, --output <format>', 'table, json or yaml', 'table'),
    'source cluster',
  );
}
