import type { V1NodeList, V1Secret, V1Service } from '@kubernetes/client-node';
import type { Context } from './clusters.ts';
import { linkMutually } from './install-checks.ts';
import type { Installation } from './installation.ts';
import { LOAD_WORKERS, underLoad } from './load.ts';
import { state } from './mirror-checks.ts';
import { DEPLOYMENTS, deletePods, killPods, podsWith } from './pods.ts';
import type { Run } from './session.ts';

const URL = 'http://web-target/';
/**
 * Until kube-proxy has taken a pod out that is no more: the pod's and the slices' controllers, and up to a
 * second between two syncs.
 */
const KUBE_PROXY_MS = 4000;
/**
 * Two thirds of the shortest life that API servers give a token, when the controller renews it, and some
 * more.
 */
const RENEWAL_MS = 430_000;

/** What people do to an installation that is in use, and what happens to it. Clients must not notice. */
export async function checkOperations(
  run: Run,
  { source, target }: { readonly source: Installation; readonly target: Installation },
): Promise<void> {
  const { check } = run;
  await check('going over to the values for high availability fails no request', async () => {
    const seen = await underLoad(run, { url: URL }, async () => {
      await target.upgradeToHa();
      await source.upgradeToHa();
    });
    const pods = await Promise.all(
      [podsWith(run, target.context, 'gateway'), podsWith(run, source.context, 'egress')].map(
        async (names) => (await names).length,
      ),
    );
    if (pods.some((count) => count < 2)) throw new Error(`gateway and egress pods: ${pods.join(', ')}`);
    return `${pods[0] ?? 0} gateways, ${pods[1] ?? 0} egresses; ${seen}`;
  });
  await check('deleting a gateway pod fails no request', () =>
    underLoad(run, { url: URL }, () => loseOne(run, target.context, 'gateway', deletePods)),
  );
  await check('killing a gateway pod fails no more than what was in flight', () =>
    underLoad(run, { url: URL, allowed: LOAD_WORKERS }, () =>
      loseOne(run, target.context, 'gateway', killPods),
    ),
  );
  await check('deleting an egress pod fails no request', () =>
    underLoad(run, { url: URL }, () => loseOne(run, source.context, 'egress', deletePods)),
  );
  // Nothing stands between clients and the egress but kube-proxy, which goes on sending them to a pod that is
  // no more until it is told.
  await check(`killing an egress pod fails nothing once kube-proxy knows (${KUBE_PROXY_MS / 1000} s)`, () =>
    underLoad(run, { url: URL, forMs: KUBE_PROXY_MS }, () =>
      loseOne(run, source.context, 'egress', killPods),
    ),
  );
  await check('killing every controller changes nothing, and mirrors are made again', () =>
    checkControllersKilled(run),
  );
  await check('an upgrade of both charts fails no request', () =>
    underLoad(run, { url: URL }, async () => {
      await source.upgrade('podAnnotations.e2e=upgraded');
      await target.upgrade('podAnnotations.e2e=upgraded');
    }),
  );
}

/** A gateway without a load balancer in front. */
export async function checkNodePort(run: Run, target: Installation): Promise<void> {
  await run.check('a gateway of type NodePort, linked again, is used', () => useNodePort(run, target));
}

/** Tokens that end are renewed before they do. */
export async function checkRenewal(run: Run, tokens: readonly string[]): Promise<void> {
  const { check, until } = run;
  await check('the tokens of the Links have been renewed before they ended', async () => {
    await until(async () => {
      const now = await linkTokens(run);
      return now.every((token, index) => token !== tokens[index]);
    }, RENEWAL_MS);
    return underLoad(run, { url: URL }, () => Promise.resolve());
  });
}

/** What the Links of both clusters hold for credentials. */
export function linkTokens({ source, target, system }: Run): Promise<string[]> {
  const read = async (context: Context, link: string) =>
    (await context.json<V1Secret>('-n', system, 'secret', `cluster-credentials-${link}`))?.data?.[
      'kubeconfig'
    ] ?? '';
  return Promise.all([read(source, 'target'), read(target, 'source')]);
}

/** One of the pods is lost, and replaced. */
async function loseOne(
  run: Run,
  context: Context,
  component: keyof typeof DEPLOYMENTS,
  lose: (run: Run, context: Context, names: readonly string[]) => Promise<void>,
): Promise<void> {
  await lose(run, context, (await podsWith(run, context, component)).slice(0, 1));
  await run.rolledOut(context, run.system, DEPLOYMENTS[component]);
}

async function checkControllersKilled(run: Run): Promise<string> {
  const { source, target, system, namespace, until, rolledOut } = run;
  const before = await state(run);
  const seen = await underLoad(run, { url: URL }, async () => {
    await killPods(run, source, await podsWith(run, source, 'controller'));
    await target.kubectl('-n', namespace, 'create', 'service', 'clusterip', 'late', '--tcp=80:8080');
    await target.kubectl('-n', namespace, 'label', 'service', 'late', 'mirror.linkerd.io/exported=true');
    await until(
      async () => (await source.json<V1Service>('-n', namespace, 'service', 'late-target')) !== undefined,
      120_000,
    );
    await rolledOut(source, system, 'linkspan-controller');
  });
  const after = await state(run);
  if (before !== after) throw new Error(`before ${before}, after ${after}`);
  await target.kubectl('-n', namespace, 'delete', 'service', 'late');
  return seen;
}

async function useNodePort(run: Run, target: Installation): Promise<string> {
  const { source, system, until, curl } = run;
  await target.upgrade('gateway.serviceType=NodePort');
  const { spec } = (await target.context.json<V1Service>('-n', system, 'service', 'linkerd-gateway')) ?? {};
  const nodePort = spec?.ports?.find(({ name }) => name === 'mc-gateway')?.nodePort;
  if (spec?.type !== 'NodePort' || nodePort === undefined) throw new Error(JSON.stringify(spec));
  const nodes = await target.context.json<V1NodeList>('nodes');
  const addresses = (nodes?.items ?? []).map(
    ({ status }) => status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '',
  );
  const gateways = await linkMutually(run, `--gateway-addresses=${addresses.join(',')}`);
  if (!gateways.includes(`:${nodePort}`))
    throw new Error(`the Link has ${gateways}, the node port is ${nodePort}`);
  await until(async () => {
    const condition = ['wait', '--for=condition=GatewayAlive', 'link/target', '--timeout=5s'];
    await source.kubectl('-n', system, ...condition);
    return (await curl(URL)) !== '';
  });
  return `${gateways}; ${await underLoad(run, { url: URL }, () => Promise.resolve())}`;
}
