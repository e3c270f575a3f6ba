import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { readyAddresses } from '../../src/controllers/objects/mirrored-endpoints.ts';
import type { Installation } from './installation.ts';
import { underLoad } from './load.ts';
import type { Run } from './session.ts';
import { headlessManifests, webManifests } from './workloads.ts';

/**
 * kube-proxy takes a changed slice up to a second later (its minimum period between two syncs), and what came
 * to the egress until then is given up after 3 s, or a connect timeout of 1 s later.
 */
const KUBE_PROXY_MS = 2000 + 3000 + 1000;

/** What people ask of a mirror when it is not what they expect, through nothing but their kubeconfig. */
export async function checkVerbs(run: Run): Promise<void> {
  const { source, namespace, check, linkspan, until } = run;
  await check('`linkspan explain` says why, through the API server alone', async () => {
    let text = '';
    await until(async () => {
      text = await linkspan('explain', 'svc', 'web', '-n', namespace, ...source.flags);
      return /^Verdict +Mirrored$/m.test(text);
    });
    return /^Over there +(.*)$/m.exec(text)?.[1] ?? '';
  });
  await check('`linkspan mirrors` lists it', async () => {
    const text = await linkspan('mirrors', '-n', namespace, ...source.flags);
    if (!text.includes('web-target')) throw new Error(text);
    return '';
  });
}

/** Pods and gateways are replaced all the time; nobody who asks meanwhile may notice. */
export async function checkRollouts(run: Run): Promise<void> {
  const { target, system, namespace, check, rolledOut } = run;
  for (const [what, where, name] of [
    ['of the application', namespace, 'web'],
    ['of the gateway', system, 'linkerd-gateway'],
  ] as const)
    await check(`a rolling restart ${what} fails no request`, async () => {
      return underLoad(run, { url: 'http://web-target/' }, async () => {
        await target.kubectl('-n', where, 'rollout', 'restart', `deployment/${name}`);
        await rolledOut(target, where, name);
      });
    });
}

/** A cluster that is back is held for 30 s and has its share over 60 s more (`FailoverPolicy`). */
const BACK_MS = 150_000;

/**
 * Members in both clusters answer under one name, and the local ones alone when the other cluster is dead.
 */
export async function checkFederated(run: Run): Promise<void> {
  const { source, target, system, namespace, nodeImage, check, until, curl, rolledOut } = run;
  const answering = async (wanted: number, of = (pod: string) => pod, timeoutMs?: number) => {
    const found = new Set<string>();
    await until(async () => {
      found.add(of((await curl('http://web-federated/')).split(' ')[0] ?? ''));
      return found.size === wanted;
    }, timeoutMs);
    return [...found].sort((a, b) => a.localeCompare(b)).join(', ');
  };
  await check('a federated service is answered by pods of both clusters', async () => {
    await source.apply(webManifests(namespace, nodeImage));
    await rolledOut(source, namespace, 'web');
    for (const context of [source, target])
      await context.kubectl('-n', namespace, 'label', 'service', 'web', 'mirror.linkerd.io/federated=member');
    return answering(4);
  });
  // The members of the source itself are beside the egress, and kube-proxy chooses between them for each
  // connection: what it sends to the egress fails until it knows better. Where there is a third cluster the
  // egress knows somebody else (`failover-checks.ts`).
  await check(
    'a dead gateway takes the other cluster out, and nothing fails once kube-proxy knows',
    async () => {
      let known = Infinity;
      let tookMs = 0;
      const seen = await underLoad(run, { url: 'http://web-federated/', until: () => known }, async () => {
        await target.kubectl('-n', system, 'scale', 'deployment/linkerd-gateway', '--replicas=0');
        const since = performance.now();
        await until(async () => (await remoteAddresses(run)) === 0);
        tookMs = performance.now() - since;
        known = Date.now() + KUBE_PROXY_MS;
        await run.until(() => Promise.resolve(Date.now() > known));
      });
      return `${(tookMs / 1000).toFixed(1)} s from the order to scale it down; ${seen}`;
    },
  );
  await check('the gateway is used again when it is back', async () => {
    await target.kubectl('-n', system, 'scale', 'deployment/linkerd-gateway', '--replicas=1');
    await rolledOut(target, system, 'linkerd-gateway');
    // Which pods its gateway prefers is another matter: one whose first answer was slow has to wait (EWMA).
    return answering(2, replicaSetOf, BACK_MS);
  });
}

/** Pods of one Deployment have it in their names; those of another cluster's have another. */
function replicaSetOf(pod: string): string {
  return pod.replace(/-[^-]+$/, '');
}

/** Endpoints of the other cluster's slices in the federated Service. */
async function remoteAddresses({ source, namespace }: Run): Promise<number> {
  const selector = 'kubernetes.io/service-name=web-federated,mirror.linkerd.io/cluster-name=target';
  const slices = await source.json<{ items: V1EndpointSlice[] }>(
    '-n',
    namespace,
    'endpointslices',
    '-l',
    selector,
  );
  return readyAddresses(slices?.items ?? []).length;
}

/** Each pod of a StatefulSet is reached by its own name. */
export async function checkHeadless(run: Run, installed: Installation): Promise<void> {
  const { source, target, namespace, nodeImage, check, until, curl } = run;
  await check('each pod of a StatefulSet in the target answers under its own name', async () => {
    await installed.upgrade('controller.enableHeadlessServices=true');
    await target.apply(headlessManifests(namespace, nodeImage));
    const answers: string[] = [];
    for (const host of ['db-0', 'db-1']) {
      await until(async () =>
        (await curl(`http://${host}.db-target.${namespace}.svc/`)).startsWith(`${host} `),
      );
      answers.push(host);
    }
    return answers.join(', ');
  });
  await check('a pod that is replaced keeps its address over here', async () => {
    const ip = async () =>
      (await source.json<V1Service>('-n', namespace, 'service', 'db-0-target'))?.spec?.clusterIP;
    const before = await ip();
    await target.kubectl('-n', namespace, 'delete', 'pod', 'db-0', '--wait=true');
    await until(async () => (await curl(`http://db-0.db-target.${namespace}.svc/`)).startsWith('db-0 '));
    if (before === undefined || (await ip()) !== before)
      throw new Error(`was ${before ?? ''}, is ${(await ip()) ?? ''}`);
    return before;
  });
}

/** Where pods reach each other across clusters, kube-proxy alone carries the traffic. */
export async function checkFlat(run: Run, installed: Installation): Promise<void> {
  const { target, namespace, check, until, curl } = run;
  await check('a flat mirror leads to the pods themselves, past gateway and egress', async () => {
    await installed.upgrade('controller.flatEndpoints=true');
    await target.kubectl(
      '-n',
      namespace,
      'label',
      'service',
      'web',
      '--overwrite',
      'mirror.linkerd.io/exported=remote-discovery',
    );
    const pods = new Set<string>();
    await until(async () => {
      const [pod = '', identity] = (await curl('http://web-target/')).trim().split(' ');
      // Nobody in between adds an identity.
      if (identity === '-') pods.add(pod);
      return pods.size === 2;
    });
    return [...pods].sort((a, b) => a.localeCompare(b)).join(', ');
  });
}

/** Nothing of a deleted Link stays. */
export async function checkDeletion({ source, namespace, system, check, until }: Run): Promise<void> {
  await check('deleting the Link removes everything that it made, and nothing else', async () => {
    await source.kubectl('-n', system, 'delete', 'link', 'target');
    const mirrored = ['-n', namespace, 'services', '-l', 'mirror.linkerd.io/cluster-name=target'];
    await until(
      async () => ((await source.json<{ items: unknown[] }>(...mirrored))?.items ?? []).length === 0,
    );
    const federated = await source.json<V1Service>('-n', namespace, 'service', 'web-federated');
    const members = federated?.metadata?.annotations ?? {};
    if (members['multicluster.linkerd.io/remote-discovery'] !== undefined)
      throw new Error('it is still a member');
    if (members['multicluster.linkerd.io/local-discovery'] !== 'web')
      throw new Error('the local member is gone');
    return '';
  });
}
