import type { V1Pod } from '@kubernetes/client-node';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { componentSelector } from '../api/installed-labels.ts';
import { pods } from '../api/kubernetes/resource.ts';
import { adminPortOf, isRunning } from '../check/check-facts.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import { askPod, askUrl } from '../kube/client/pod-proxy.ts';
import { readTraffic, type Traffic } from './egress-traffic.ts';
import type { EgressPages } from './recent-traffic.ts';

/** Time for one pod to answer, milliseconds. */
const ANSWER_MS = 3000;

/** Where the egress is: in the installation's namespace, or at the URLs of admin ports. */
export interface EgressPlace {
  readonly namespace: string;
  readonly urls: readonly string[] | undefined;
}

/**
 * Reads the metrics of every egress pod, through the API server's pod proxy (`get` on `pods/proxy`) or
 * directly at the given URLs. One that does not answer is named, and does not fail the others.
 */
export async function readEgressPages(client: KubeClient, place: EgressPlace): Promise<EgressPages> {
  const { namespace, urls } = place;
  const asked =
    urls === undefined
      ? (await listPods(client, namespace)).map(
          (pod) => [pod.metadata?.name ?? '', podPage(client, namespace, pod)] as const,
        )
      : urls.map((url) => [url, urlPage(url)] as const);
  const traffic = new Map<string, Traffic>();
  const silent = new Map<string, string>();
  await Promise.all(
    asked.map(async ([name, page]) => {
      try {
        traffic.set(name, readTraffic(await page));
      } catch (error) {
        silent.set(name, messageOf(error));
      }
    }),
  );
  return { traffic, silent };
}

async function listPods(client: KubeClient, namespace: string): Promise<V1Pod[]> {
  const { items } = await client.list(pods, { namespace, labelSelector: componentSelector('egress') });
  return items.filter(isRunning);
}

async function podPage(client: KubeClient, namespace: string, pod: V1Pod): Promise<string> {
  const where = { namespace, pod: pod.metadata?.name ?? '', port: adminPortOf(pod) };
  return textOf(await askPod(client, where, '/metrics', AbortSignal.timeout(ANSWER_MS)));
}

async function urlPage(url: string): Promise<string> {
  return textOf(await askUrl(url, '/metrics', AbortSignal.timeout(ANSWER_MS)));
}

function textOf(page: unknown): string {
  if (typeof page === 'string') return page;
  throw new Error('what it answers are no metrics');
}
