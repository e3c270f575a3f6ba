import { sleep, type Clock } from '../base/clock.ts';
import { MIRRORED_SELECTOR } from '../api/mirror/mirror-labels.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { services, type KubeObject } from '../api/kubernetes/resource.ts';
import {
  remainders,
  remainderText,
  type UnlinkFacts,
  type UnlinkPlan,
  type UnlinkRequest,
} from './unlink.ts';

const POLL_MS = 500;

export interface UnlinkOptions {
  readonly client: KubeClient;
  /** Deletes objects in this order; those that do not exist any more are skipped. */
  readonly remove: (objects: readonly KubeObject[], dryRun: boolean) => Promise<void>;
  /** How long the controller may take to clean up, milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly onProgress: (text: string) => void;
}

/**
 * Deletes the Link, then what was made for it (by the controller where one runs, so that federated Services
 * are updated too), then its credentials.
 * @throws LinkspanError UNLINK_INCOMPLETE when something still exists in the end; or what the API server
 * refuses, before anything is deleted
 */
export async function applyUnlink(
  request: UnlinkRequest,
  facts: UnlinkFacts,
  plan: UnlinkPlan,
  options: UnlinkOptions,
): Promise<void> {
  const { remove } = options;
  await remove([...plan.link, ...plan.mirrors, ...plan.rest], true);
  await remove(plan.link, false);
  if (plan.controllerCleansUp) await waitUntilGone(request, facts, options);
  await remove(plan.mirrors, false);
  await remove(plan.rest, false);
}

async function waitUntilGone(
  request: UnlinkRequest,
  facts: UnlinkFacts,
  options: UnlinkOptions,
): Promise<void> {
  const { client, clock, timeoutMs, onProgress } = options;
  const { clusterName, namespace } = request;
  const end = clock.monotonic() + timeoutMs;
  for (;;) {
    const { items } = await client.list(services, { labelSelector: MIRRORED_SELECTOR });
    const { mirrors, federated } = remainders(items, clusterName, `${namespace}/${clusterName}`);
    // Federated memberships stay where another Link of the same cluster takes them over.
    const left = remainderText({ mirrors, federated: facts.heir === undefined ? federated : [] });
    if (left === '') return;
    if (clock.monotonic() >= end)
      throw new LinkspanError(
        'UNLINK_INCOMPLETE',
        `the Link ${namespace}/${clusterName} is deleted, but after ${timeoutMs / 1000} s there is still ${left}`,
      );
    onProgress(`waiting until the controller has removed ${left}`);
    await sleep(clock, POLL_MS);
  }
}
