import { stringify } from 'yaml';
import { type FailoverRun, scaleGateway, SHORT_POLICY } from './failover-scene.ts';
import { installKinds } from './split-checks.ts';
import { answererManifests, answererService } from './workloads.ts';

/** As linkerd-failover's README calls it. */
const NAME = 'sample-svc';
const SPLITS = 'trafficsplits.split.smi-spec.io';
const ROUTES = 'httproutes.gateway.networking.k8s.io';

interface Weighted {
  readonly spec: {
    readonly backends?: readonly { readonly service: string; readonly weight: number }[];
    readonly rules?: readonly {
      readonly backendRefs: readonly { readonly name: string; readonly weight?: number }[];
    }[];
  };
}

/** The weights that Linkerd's sidecars would follow, while pods and gateways come and go. */
export async function checkWeights(run: FailoverRun): Promise<void> {
  const { source, targets, check, namespace, nodeImage } = run;
  const [west, north] = targets;
  if (west === undefined || north === undefined) throw new Error('give three clusters');
  const mirrors = [`${NAME}-${west.name}`, `${NAME}-${north.name}`] as const;
  const get = (kind: string) => source.json<Weighted>('-n', namespace, kind, NAME);
  const weightsOfSplit = async () => {
    const found = await get(SPLITS);
    return (found?.spec.backends ?? []).map(({ weight }) => weight).join('/');
  };
  const weightsOfRoute = async () => {
    const found = await get(ROUTES);
    return (found?.spec.rules?.[0]?.backendRefs ?? []).map(({ weight }) => weight).join('/');
  };
  /** Waits until both have these weights. @returns how long that took, in words */
  const become = async (what: string, ofSplit: string, ofRoute: string) => {
    const began = performance.now();
    try {
      await run.until(
        async () => (await weightsOfSplit()) === ofSplit && (await weightsOfRoute()) === ofRoute,
        120_000,
      );
    } catch (error) {
      throw new Error(`${what}: ${await weightsOfSplit()}, ${await weightsOfRoute()}`, { cause: error });
    }
    return `${what}: ${ofSplit}, ${ofRoute} after ${((performance.now() - began) / 1000).toFixed(1)} s`;
  };
  const scale = async (replicas: number) => {
    await source.kubectl('-n', namespace, 'scale', `deployment/${NAME}`, `--replicas=${replicas}`);
  };

  await check('the kinds that upstream publishes are installed in the source', async () => {
    await installKinds(run, source);
    const pods = (says: string) => answererManifests(namespace, nodeImage, { name: NAME, says, replicas: 2 });
    await source.apply(pods('local') + '---\n' + answererService(namespace, NAME));
    for (const target of targets) {
      const labels = { 'mirror.linkerd.io/exported': 'true' };
      await target.apply(pods(target.name) + '---\n' + answererService(namespace, NAME, { labels }));
      await run.rolledOut(target, namespace, NAME);
    }
    await run.rolledOut(source, namespace, NAME);
    for (const mirror of mirrors)
      await run.until(async () => (await source.json('-n', namespace, 'service', mirror)) !== undefined);
    return '';
  });
  await check(
    "linkerd-failover's example as its README has it gets weights, whatever is not there",
    async () => {
      const names = [NAME, ...['central1', 'east1', 'east2', 'asia1'].map((cluster) => `${NAME}-${cluster}`)];
      await source.apply(JSON.stringify(split(namespace, names)));
      await run.until(async () => (await weightsOfSplit()) === '10000/0/0/0/0');
      await source.kubectl('-n', namespace, 'delete', SPLITS, NAME);
      return '10000/0/0/0/0';
    },
  );
  await check(
    "linkerd-failover's example and a labelled HTTPRoute get weights, and go where pods are",
    async () => {
      await source.apply(objects(namespace, mirrors));
      const words = [await become('all is well', '10000/0/0', '1000000/1/1')];
      await scale(0);
      words.push(await become('no pod here', '0/5000/5000', '0/500000/500000'));
      await scaleGateway(run, west, 0);
      words.push(await become('nor a gateway there', '0/0/10000', '0/0/1000000'));
      await scaleGateway(run, west, 1);
      words.push(await become('it is back', '0/5000/5000', '0/500000/500000'));
      await scale(2);
      words.push(await become('all is back', '10000/0/0', '1000000/1/1'));
      return words.join('; ');
    },
  );
  await check('a standby whose gateway dies loses its part of a route before it is needed', async () => {
    await scaleGateway(run, west, 0);
    const words = [await become('its gateway is gone', '10000/0/0', '1000000/0/1')];
    await scaleGateway(run, west, 1);
    words.push(await become('it is back', '10000/0/0', '1000000/1/1'));
    return words.join('; ');
  });
  await check('what was written is put back when the label goes', async () => {
    for (const kind of [SPLITS, ROUTES])
      await source.kubectl('-n', namespace, 'label', kind, NAME, 'failover.linkerd.io/controlled-by-');
    const words = await become('put back', '1/0/0', '1/1/1');
    for (const kind of [SPLITS, ROUTES]) await source.kubectl('-n', namespace, 'delete', kind, NAME);
    return words;
  });
}

/** The example of linkerd-failover's README, with these backends and no word of ours. */
function split(namespace: string, services: readonly string[], annotations: object = {}): object {
  return {
    apiVersion: 'split.smi-spec.io/v1alpha2',
    kind: 'TrafficSplit',
    metadata: {
      name: NAME,
      namespace,
      annotations: { 'failover.linkerd.io/primary-service': NAME, ...annotations },
      labels: { 'failover.linkerd.io/controlled-by': 'linkerd-failover' },
    },
    spec: {
      service: NAME,
      backends: services.map((service, nth) => ({ service, weight: nth === 0 ? 1 : 0 })),
    },
  };
}

/** The same with the mirrors of this run, and a route of the same backends. */
function objects(namespace: string, mirrors: readonly string[]): string {
  const services = [NAME, ...mirrors];
  const policy = { 'failover.linkspan.dev/policy': SHORT_POLICY };
  const route = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: {
      name: NAME,
      namespace,
      annotations: policy,
      labels: { 'failover.linkerd.io/controlled-by': 'linkspan' },
    },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: NAME, port: 80 }],
      rules: [{ backendRefs: services.map((name) => ({ name, port: 80 })) }],
    },
  };
  return [split(namespace, services, policy), route].map((object) => stringify(object)).join('---\n');
}
