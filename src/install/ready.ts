import type { V1Deployment, V1Pod } from '@kubernetes/client-node';
import { sleep, type Clock } from '../base/clock.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { OURS } from '../api/names.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { deployments, pods } from '../api/kubernetes/resource.ts';

const POLL_MS = 1000;

export interface ReadyOptions {
  readonly namespace: string;
  /** How long to wait, milliseconds; 0: do not wait. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Called with what it waits for. */
  readonly onWaiting: (text: string) => void;
}

/**
 * Waits until every Deployment of Linkspan has rolled out.
 * @throws LinkspanError INSTALL_NOT_READY with what is missing, and the reasons that pods give
 */
export async function awaitReady(client: KubeClient, options: ReadyOptions): Promise<void> {
  const { namespace, timeoutMs, clock, onWaiting } = options;
  if (timeoutMs === 0) return;
  const end = clock.monotonic() + timeoutMs;
  for (;;) {
    const { items } = await client.list(deployments, { namespace, labelSelector: OURS });
    const late = items.filter((deployment) => !isRolledOut(deployment));
    if (late.length === 0) return;
    onWaiting(`waiting for ${late.map(progressOf).join(', ')}`);
    if (clock.monotonic() >= end) {
      const { items: all } = await client.list(pods, { namespace, labelSelector: OURS });
      const texts = late.map((one) => [progressOf(one), ...podProblems(one, all)].join(': '));
      throw new LinkspanError('INSTALL_NOT_READY', `not available: ${texts.join('; ')}`);
    }
    await sleep(clock, POLL_MS);
  }
}

/** Whether a Deployment has rolled out, by the rule of `kubectl rollout status`. */
export function isRolledOut({ metadata, spec, status }: V1Deployment): boolean {
  const { observedGeneration, updatedReplicas, availableReplicas, replicas } = { ...NO_STATUS, ...status };
  const wanted = spec?.replicas ?? 1;
  return (
    observedGeneration >= (metadata?.generation ?? 0) &&
    updatedReplicas >= wanted &&
    replicas <= updatedReplicas &&
    availableReplicas >= wanted
  );
}

/** Defaults for a status: API servers omit zeros. */
const NO_STATUS = { observedGeneration: 0, updatedReplicas: 0, availableReplicas: 0, replicas: 0 };

function progressOf({ metadata, spec, status }: V1Deployment): string {
  return `${metadata?.name ?? ''} ${status?.availableReplicas ?? 0}/${spec?.replicas ?? 1}`;
}

/** The first reason that each pod gives, without repeats. */
export function podProblems(deployment: V1Deployment, all: readonly V1Pod[]): string[] {
  const app = deployment.spec?.selector.matchLabels?.['app'];
  const own = all.filter(({ metadata }) => metadata?.labels?.['app'] === app);
  return [...new Set(own.flatMap(problemOf))];
}

function problemOf({ status }: V1Pod): string[] {
  const waiting = status?.containerStatuses?.find(({ state }) => state?.waiting !== undefined)?.state
    ?.waiting;
  if (waiting !== undefined)
    return [[waiting.reason, waiting.message].filter((text) => text !== undefined).join(': ')];
  const failed = status?.conditions?.find(
    ({ status: value, message }) => value === 'False' && message !== undefined && message !== '',
  );
  return failed === undefined ? [] : [[failed.reason, failed.message].join(': ')];
}
