import type { V1PodList } from '@kubernetes/client-node';
import type { Context } from './clusters.ts';
import type { Run } from './session.ts';

/** Deployments of Linkspan that carry traffic. */
export const DEPLOYMENTS = { gateway: 'linkerd-gateway', egress: 'linkspan-egress' } as const;

/** Names of the pods of a component of Linkspan. */
export async function podsWith({ system }: Run, context: Context, component: string): Promise<string[]> {
  const list = await context.json<V1PodList>('-n', system, 'pods', '-l', `component=${component}`);
  return (list?.items ?? [])
    .filter(({ metadata }) => metadata?.deletionTimestamp === undefined)
    .map(({ metadata }) => metadata?.name ?? '');
}

export async function deletePods({ system }: Run, context: Context, names: readonly string[]): Promise<void> {
  await context.kubectl('-n', system, 'delete', 'pod', ...names, '--wait=true');
}

/** Without any time to end what they have begun. */
export async function killPods({ system }: Run, context: Context, names: readonly string[]): Promise<void> {
  await context.kubectl('-n', system, 'delete', 'pod', ...names, '--grace-period=0', '--force');
}
