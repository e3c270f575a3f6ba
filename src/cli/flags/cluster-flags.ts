import type { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import { formatDuration, parseDuration } from '../../base/duration.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { IpRanges } from '../../base/ip-ranges.ts';
import { isDnsLabel, listItems } from '../../base/text.ts';
import { loadAccess, type ClusterAccess } from '../../kube/client/access.ts';
import { KubeClient } from '../../kube/client/kube-client.ts';
import { createLogger } from '../../telemetry/log.ts';
import { parseSelector, parseSelectorText, type Selector } from '../../api/kubernetes/label-selector.ts';

/** A duration such as `30s`; milliseconds. */
export const durationFlag = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  context.addIssue({ code: 'custom', message: `"${text}" is not a duration such as 30s or 500ms` });
  return z.NEVER;
});

/** A comma-separated list. */
export const listFlag = z.string().default('').transform(listItems);

/** Comma-separated address ranges. */
export const rangesFlag = listFlag.transform((texts, context) => {
  try {
    return new IpRanges(texts).texts;
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) });
    return z.NEVER;
  }
});

/** A label selector as kubectl takes it. */
export const selectorFlag = z.string().transform((text, context): Selector => {
  try {
    return parseSelector(parseSelectorText(text));
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) });
    return z.NEVER;
  }
});

/** Namespaces that a process looks into, with commas; undefined: all. */
export const namespacesFlag = z
  .string()
  .optional()
  .transform((text, context) => {
    const names = text?.split(',').map((name) => name.trim());
    const wrong = names?.find((name) => !isDnsLabel(name));
    if (wrong === undefined) return names;
    context.addIssue({ code: 'custom', message: `"${wrong}" is no name of a namespace` });
    return z.NEVER;
  });

/** Adds it to a verb. */
export function withNamespacesFlag(command: Command): Command {
  return command.option(
    '--namespaces <list>',
    'look into these namespaces only (with commas), for an account without rights in the whole cluster',
  );
}

/** Flags that say which cluster is meant. */
export const clusterFlags = {
  kubeconfig: z.string().optional(),
  context: z.string().optional(),
  as: z.string().min(1).optional(),
  asGroup: z.array(z.string().min(1)).optional(),
  apiAddr: z
    .string()
    .transform((text) => (/^https?:\/\//.test(text) ? text : `https://${text}`))
    .pipe(z.url({ error: 'must be an address such as 10.0.0.1:6443' }))
    .optional(),
  verbose: z.boolean().default(false),
};

/** The same of a verb that asks several clusters; without a context the current one. */
export const contextsFlags = { ...clusterFlags, context: z.array(z.string().min(1)).optional() };

/** Values of those flags. */
export interface ClusterFlags {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly as?: string | undefined;
  readonly asGroup?: readonly string[] | undefined;
  readonly apiAddr?: string | undefined;
  readonly verbose?: boolean | undefined;
  /** Timeout of the whole verb, milliseconds; default: none beyond those of each request and its retries. */
  readonly timeout?: number | undefined;
}

/** `--timeout` of verbs that read, so that nobody has to interrupt them; milliseconds. */
export const timeoutFlag = durationFlag.refine((ms) => ms > 0, { error: 'must be longer than nothing' });

/** Adds it to a verb. */
export function withTimeoutFlag(command: Command, otherwise = '30s'): Command {
  return command.option(
    '--timeout <time>',
    'how long to wait for the API server and the controllers',
    otherwise,
  );
}

/** Adds them to a verb. @param cluster which one it is, such as `target cluster` */
export function withClusterFlags(command: Command, cluster: string): Command {
  return withAccessFlags(
    command
      .option('--kubeconfig <file>', `kubeconfig of the ${cluster} (default: $KUBECONFIG, ~/.kube/config)`)
      .option('--context <name>', 'context of the kubeconfig'),
  );
}

/** Flags of a verb that asks several clusters: values of `contextsFlags`. */
export function withContextsFlags(command: Command): Command {
  return withAccessFlags(
    command
      .option('--kubeconfig <file>', 'kubeconfig of the clusters (default: $KUBECONFIG, ~/.kube/config)')
      .option(
        '--context <name>',
        'context of the kubeconfig; may be given several times, for several clusters',
        repeated,
      ),
  );
}

/**
 * The values of a flag that may be given several times, each with one value, as kubectl has it: one that took
 * all words behind it would take the verb's arguments.
 */
function repeated(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

function withAccessFlags(command: Command): Command {
  return command
    .option('--as <user>', 'ask as this user (impersonation)')
    .option(
      '--as-group <group>',
      'ask as a member of this group, with --as; may be given several times',
      repeated,
    )
    .option(
      '--api-addr <address>',
      "address of the API server, instead of the kubeconfig's: host:port or a URL",
    )
    .option('--verbose', 'tell on stderr of every request to the API server');
}

/** How to reach the cluster that the flags name. @throws LinkspanError KUBECONFIG_… */
export function accessOf(flags: ClusterFlags): ClusterAccess {
  const context = flags.context === undefined ? {} : { context: flags.context };
  const access = loadAccess(
    flags.kubeconfig === undefined ? { default: true, ...context } : { file: flags.kubeconfig, ...context },
  );
  if (flags.asGroup !== undefined && flags.as === undefined)
    throw new LinkspanError('CONFIG_INVALID', '--as-group needs --as: groups are those of a user');
  return {
    ...access,
    ...(flags.apiAddr === undefined ? {} : { server: flags.apiAddr.replace(/\/$/, '') }),
    ...(flags.as === undefined ? {} : { impersonate: { user: flags.as, groups: flags.asGroup ?? [] } }),
  };
}

/**
 * Access to the cluster that the flags name, and a client of it, to be closed.
 * @param options of the client
 * @throws LinkspanError KUBECONFIG_…
 */
export function openCluster(
  flags: ClusterFlags,
  options: { readonly maxConnections?: number } = {},
): { access: ClusterAccess; client: KubeClient } {
  const log = createLogger({
    name: 'cli',
    level: flags.verbose === true ? 'debug' : 'warn',
    destination: process.stderr,
  });
  const access = accessOf(flags);
  const client = new KubeClient(access, {
    clock: systemClock,
    random: Math.random,
    ...options,
    ...(flags.verbose === true ? { log } : {}),
  });
  return { access, client };
}

/**
 * Runs `use` with a client of the cluster that the flags name.
 * @throws LinkspanError KUBE_TIMEOUT when the flags have a timeout and it is over
 */
export async function withClient<T>(
  flags: ClusterFlags,
  use: (client: KubeClient) => Promise<T>,
): Promise<T> {
  const { client } = openCluster(flags);
  try {
    const { timeout } = flags;
    return await (timeout === undefined ? use(client) : within(timeout, client.server, use(client)));
  } finally {
    await client.close();
  }
}

/** @throws LinkspanError KUBE_TIMEOUT when `work` is not done in time */
export async function within<T>(timeoutMs: number, server: string, work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = systemClock.after(timeoutMs, () =>
    reject(new LinkspanError('KUBE_TIMEOUT', `no answer from ${server} within ${formatDuration(timeoutMs)}`)),
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    timer.cancel();
  }
}
