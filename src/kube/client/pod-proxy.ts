import { systemClock } from '../../base/clock.ts';
import { anonymousAccess } from './access.ts';
import { KubeClient } from './kube-client.ts';
import { PAGE_LIMITS } from './read-answer.ts';

/** A port of a pod. */
export interface PodPort {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/**
 * Asks a pod through the API server's proxy, so that a kubeconfig is all that is needed (it takes `get` on
 * `pods/proxy`).
 * @param path of the pod's page, with its query
 * @returns JSON as a value, other text as it is
 * @throws KubeApiError
 */
export function askPod(
  client: KubeClient,
  { namespace, pod, port }: PodPort,
  path: string,
  signal: AbortSignal,
): Promise<unknown> {
  const where = `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(pod)}:${port}/proxy${path}`;
  return client.raw('GET', where, { signal, limits: PAGE_LIMITS });
}

/** Asks an admin port directly, once. @param url of the port, such as `http://10.0.0.1:9990` */
export async function askUrl(url: string, path: string, signal: AbortSignal): Promise<unknown> {
  const client = new KubeClient(anonymousAccess(url), {
    clock: systemClock,
    random: Math.random,
    maxTries: 1,
  });
  try {
    return await client.raw('GET', path, { signal, limits: PAGE_LIMITS });
  } finally {
    await client.close();
  }
}
