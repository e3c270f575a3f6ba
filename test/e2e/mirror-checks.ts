import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { readyAddresses } from '../../src/controllers/objects/mirrored-endpoints.ts';
import { underLoad } from './load.ts';
import type { Run } from './session.ts';

const MIRROR = 'web-target';

/** The life of one mirror, and what a plain client sees of it. */
export async function checkMirror(run: Run): Promise<void> {
  const { source, target, system, namespace, check, until, curl, rolledOut } = run;
  await check('the mirror appears', async () => {
    await target.kubectl('-n', namespace, 'label', 'service', 'web', 'mirror.linkerd.io/exported=true');
    await until(
      async () => (await mirror(run)) !== undefined && readyAddresses(await slices(run)).length > 0,
    );
    return (await mirror(run))?.spec?.clusterIP ?? '';
  });
  await check('a plain curl pod in the source gets answers from both replicas in the target', async () => {
    const pods = new Set<string>();
    await until(async () => {
      pods.add((await curl(`http://${MIRROR}/`)).split(' ')[0] ?? '');
      return pods.size === 2;
    });
    return [...pods].sort((a, b) => a.localeCompare(b)).join(', ');
  });
  await check('the target sees the identity of the egress, not of the network', async () => {
    const [, identity = ''] = (await curl(`http://${MIRROR}.${namespace}.svc/`)).trim().split(' ');
    if (!identity.startsWith(`linkspan-egress.${system}.serviceaccount.`))
      throw new Error(`it saw "${identity}"`);
    return identity;
  });
  await check('restarting the controller changes nothing, and traffic goes on meanwhile', async () => {
    const before = await state(run);
    const seen = await underLoad(run, { url: `http://${MIRROR}/` }, async () => {
      await source.kubectl('-n', system, 'rollout', 'restart', 'deployment/linkspan-controller');
      await rolledOut(source, system, 'linkspan-controller');
    });
    await source.kubectl('-n', system, 'wait', '--for=condition=Synced', 'link/target', '--timeout=60s');
    const after = await state(run);
    if (before !== after) throw new Error(`before ${before}, after ${after}`);
    return seen;
  });
}

/** What is no longer exported is no longer there. */
export async function checkUnexport(run: Run): Promise<void> {
  const { target, namespace, check, until } = run;
  await check('deleting the label removes the mirror', async () => {
    await target.kubectl('-n', namespace, 'label', 'service', 'web', 'mirror.linkerd.io/exported-');
    await until(async () => (await mirror(run)) === undefined && (await slices(run)).length === 0);
    return '';
  });
}

/** What a write of the controller would change. */
export async function state(run: Run): Promise<string> {
  const versions = [await mirror(run), ...(await slices(run))].map(
    (object) => `${object?.metadata?.uid}@${object?.metadata?.resourceVersion}`,
  );
  return versions.join(' ');
}

function mirror({ source, namespace }: Run): Promise<V1Service | undefined> {
  return source.json<V1Service>('-n', namespace, 'service', MIRROR);
}

async function slices({ source, namespace }: Run): Promise<V1EndpointSlice[]> {
  const selector = `kubernetes.io/service-name=${MIRROR}`;
  const list = await source.json<{ items: V1EndpointSlice[] }>(
    '-n',
    namespace,
    'endpointslices',
    '-l',
    selector,
  );
  return list?.items ?? [];
}
