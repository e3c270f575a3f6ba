import type { Command } from 'commander';
import { z } from 'zod';
import { DEFAULT_NAMESPACE } from '../../api/names.ts';
import { type Sort, SORTS } from '../../traffic/stat-row.ts';
import {
  clusterFlags,
  durationFlag,
  timeoutFlag,
  withContextsFlags,
  withTimeoutFlag,
} from '../flags/cluster-flags.ts';

/** Longest window that processes keep, milliseconds. */
const MAX_WINDOW_MS = 30 * 60_000;
const LEAST_WATCH_MS = 250;
const WATCH_MS = 2000;

/** How far back is looked; milliseconds. */
export const windowFlag = durationFlag.refine((ms) => ms >= 1000 && ms <= MAX_WINDOW_MS, {
  error: 'must be from 1s to 30m: that is what processes keep',
});

/** `-w` alone, or with how often; milliseconds. */
const watchFlag = z
  .union([z.literal(true).transform(() => WATCH_MS), durationFlag])
  .refine((ms) => ms >= LEAST_WATCH_MS, { error: 'must be 250ms or longer' })
  .optional();

/** Flags of verbs that show traffic. */
export const trafficFlags = {
  ...clusterFlags,
  context: z.array(z.string().min(1)).default([]),
  controllerNamespace: z.string().min(1),
  namespace: z.string().min(1).optional(),
  allNamespaces: z.boolean().default(false),
  window: windowFlag,
  output: z.enum(['table', 'wide', 'json', 'yaml'], { error: 'must be table, wide, json or yaml' }),
  watch: watchFlag,
  sort: z.enum(SORTS, { error: `must be ${SORTS.join(', ')}` }),
  failing: z.boolean().default(false),
  exitCode: z.boolean().default(false),
  limit: z.coerce.number({ error: 'must be a number' }).int().min(1).optional(),
  timeout: timeoutFlag,
};

/** Values of those flags. */
export interface TrafficFlags {
  readonly kubeconfig?: string | undefined;
  readonly context: readonly string[];
  readonly as?: string | undefined;
  readonly asGroup?: readonly string[] | undefined;
  readonly apiAddr?: string | undefined;
  readonly verbose: boolean;
  readonly controllerNamespace: string;
  readonly namespace?: string | undefined;
  readonly allNamespaces: boolean;
  /** Milliseconds. */
  readonly window: number;
  readonly output: 'json' | 'table' | 'wide' | 'yaml';
  /** How often, milliseconds; undefined: once. */
  readonly watch?: number | undefined;
  readonly sort: Sort;
  readonly failing: boolean;
  readonly exitCode: boolean;
  readonly limit?: number | undefined;
  /** Milliseconds. */
  readonly timeout: number;
}

/** Adds them to a verb. */
export function withTrafficFlags(command: Command): Command {
  const shown = command
    .option('-n, --namespace <ns>', 'only what is of this namespace (default: all)')
    .option('-A, --all-namespaces', 'of all namespaces, which is the default')
    .option('-t, --window <time>', 'how far to look back, 30m at most', '1m')
    .option('-o, --output <format>', 'table, wide, json or yaml', 'table')
    .option('-w, --watch [interval]', 'show it again and again (default interval: 2s)')
    .option('--sort <by>', `order: ${SORTS.join(', ')}`, 'failing')
    .option('--failing', 'only what fails')
    .option('--exit-code', 'with --failing: exit with 4 where something does')
    .option('--limit <n>', 'so many rows at most')
    .option('--controller-namespace <ns>', 'namespace of the installation', DEFAULT_NAMESPACE);
  return withTimeoutFlag(withContextsFlags(shown), '10s');
}
