import type { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../base/clock.ts';
import { parseDuration } from '../base/duration.ts';
import { messageOf } from '../base/errors.ts';
import { loadAccess, type ClusterAccess } from '../kube/access.ts';
import { KubeClient } from '../kube/client.ts';
import { parseSelector, parseSelectorText, type Selector } from '../link/selector.ts';

/** A duration such as `30s`; milliseconds. */
export const durationFlag = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  context.addIssue({ code: 'custom', message: `"${text}" is not a duration such as 30s or 500ms` });
  return z.NEVER;
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

/** Flags that say which cluster is meant. */
export const clusterFlags = { kubeconfig: z.string().optional(), context: z.string().optional() };

/** Adds them to a verb. */
export function withClusterFlags(command: Command, cluster: string): Command {
  return command
    .option(
      '--kubeconfig <file>',
      `kubeconfig of the ${cluster} cluster (default: $KUBECONFIG, ~/.kube/config)`,
    )
    .option('--context <name>', 'context of the kubeconfig');
}

/** How to reach the cluster that the flags name. @throws LinkspanError KUBECONFIG_… */
export function accessOf(flags: {
  kubeconfig?: string | undefined;
  context?: string | undefined;
}): ClusterAccess {
  const context = flags.context === undefined ? {} : { context: flags.context };
  return loadAccess(
    flags.kubeconfig === undefined ? { default: true, ...context } : { file: flags.kubeconfig, ...context },
  );
}

/** Runs `use` with a client of the cluster that the flags name. */
export async function withClient<T>(
  flags: { kubeconfig?: string | undefined; context?: string | undefined },
  use: (client: KubeClient) => Promise<T>,
): Promise<T> {
  const client = new KubeClient(accessOf(flags), { clock: systemClock, random: Math.random });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}
