import {
  FAILOVER_CONDITIONS,
  FAILOVER_POLICY,
  FAILOVER_TIERS,
} from '../../src/api/failover/failover-names.ts';
import type { Context } from './clusters.ts';
import {
  type FailoverRun,
  hasEvent,
  keptRaw,
  notIdempotent,
  type Scene,
  SERVICE,
  SHORT_POLICY,
} from './failover-scene.ts';
import { type OpenLoopOptions, type SeenSoFar, underOpenLoop } from './open-loop.ts';
import { DEPLOYMENTS } from './pods.ts';
import { answererService } from './workloads.ts';

/** A Service without selector in the source, and what it leads to: exported by each target. */
const APEX = 'apex';
const BEHIND = 'behind-apex';
const EXPORTED = { 'mirror.linkerd.io/exported': 'true' };

/**
 * A Service without selector that leads to the same pods as the federated one, by their mirrors, with drains
 * of its own; and what is said where endpoints are too few and nothing fails. All names of steps begin with
 * `apex`: `--grep '^apex'` does these only.
 */
export async function checkApexes(scene: Scene): Promise<void> {
  const { run, both, load, isAnswered } = scene;
  const asked: OpenLoopOptions = { ...load, service: APEX };
  await run.check('apex: a Service without selector leads to both clusters', async () => {
    await makeApex(scene);
    // A first request waits for nobody: the port is there before the slices that lead to it.
    return underOpenLoop(run, { ...asked, mayFail: () => true }, (seen) => isAnswered(seen, ...both));
  });
  await checkDrainOfOne(scene, asked);
  await checkDrill(scene, asked);
  await checkDemand(scene, asked);
}

async function makeApex({ run, west, north }: Scene): Promise<void> {
  const { source, namespace } = run;
  for (const target of [west, north])
    await target.apply(answererService(namespace, BEHIND, { app: 'member', labels: EXPORTED }));
  const mirrors = [west, north].map(({ name }) => `${BEHIND}-${name}`);
  for (const mirror of mirrors)
    await run.until(async () => (await source.json('-n', namespace, 'service', mirror)) !== undefined);
  const annotations = { [FAILOVER_TIERS]: mirrors.join(', '), [FAILOVER_POLICY]: SHORT_POLICY };
  const ports = [
    { name: 'http', port: 80 },
    { name: 'grpc', port: 81, appProtocol: 'kubernetes.io/h2c' },
    { name: 'raw', port: 82, appProtocol: 'tcp' },
  ];
  const metadata = { name: APEX, namespace, annotations };
  await source.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata, spec: { ports } }));
  await run.until(async () => {
    const of = ['-l', `kubernetes.io/service-name=${APEX}`, '-o', 'name'];
    return (await source.kubectl('-n', namespace, 'get', 'endpointslices', ...of)) !== '';
  });
  await isResolved(run);
}

/**
 * Cluster DNS may go on for half a minute to give the address of a Service of the same name that was deleted.
 */
async function isResolved(run: FailoverRun): Promise<void> {
  const own = ['-n', run.namespace];
  const address = await run.source.kubectl(
    ...own,
    'get',
    'service',
    APEX,
    '-o',
    'jsonpath={.spec.clusterIP}',
  );
  const look = `require('dns').lookup('${APEX}.${run.namespace}.svc', (error, found) => console.log(found))`;
  await run.until(
    async () =>
      (await run.source.kubectl(...own, 'exec', 'client', '--', 'node', '-e', look)).trim() ===
      address.trim(),
  );
}

async function checkDrainOfOne(scene: Scene, asked: OpenLoopOptions): Promise<void> {
  const { run, west, north, both, isAnswered, backend } = scene;
  const drain = (cluster: Context, ...flags: string[]) => drainOne(run, 'drain', cluster, ...flags);
  const undrain = (cluster: Context) => drainOne(run, 'undrain', cluster);
  const away = async (seen: SeenSoFar) => {
    // Two clusters with as many pods as they need cannot bear each other's load: it says so.
    await drain(west, '--ramp', '2s', '--until', '10m', '--force');
    await isAnswered(seen, north.name);
  };
  const back = async (seen: SeenSoFar) => {
    await undrain(west);
    await isAnswered(seen, ...both);
  };
  await run.check('apex: a cluster is drained of it alone, and given back: nothing fails', () =>
    underOpenLoop(run, { ...asked, mayFail: keptRaw }, async (seen) => {
      await away(seen);
      const { state } = await backend(west);
      if (state !== 'Active') throw new Error(`it is ${state} for ${SERVICE}, too`);
      await hasEvent(run, 'DrainStarted');
      await back(seen);
    }),
  );
  await run.check('apex: the last one that serves it is not drained', () =>
    underOpenLoop(run, { ...asked, mayFail: keptRaw }, async (seen) => {
      await away(seen);
      const refused = await drain(north, '--until', '10m').then(
        () => undefined,
        (error: unknown) => String(error),
      );
      if (refused?.includes('DRAIN_SOLE_BACKEND') !== true)
        throw new Error(`not refused: ${refused ?? 'it was drained'}`);
      await back(seen);
    }),
  );
  await run.check('apex: the egress is rolled in the ramp of a drain, which goes on', () =>
    underOpenLoop(run, { ...asked, mayFail: notIdempotent }, async (seen) => {
      await drain(west, '--ramp', '30s', '--until', '10m', '--force');
      const egress = `deployment/${DEPLOYMENTS.egress}`;
      await run.source.kubectl('-n', run.system, 'rollout', 'restart', egress);
      await run.rolledOut(run.source, run.system, DEPLOYMENTS.egress);
      await isAnswered(seen, north.name);
      await back(seen);
    }),
  );
  await run.check(
    'apex: its Service is deleted and made again while a cluster is drained of it',
    async () => {
      await drain(west, '--ramp', '2s', '--until', '10m', '--force');
      await run.source.kubectl('-n', run.namespace, 'delete', 'service', APEX);
      await makeApex(scene);
      return underOpenLoop(run, { ...asked, mayFail: () => true }, (seen) => isAnswered(seen, ...both));
    },
  );
}

async function checkDrill(scene: Scene, asked: OpenLoopOptions): Promise<void> {
  const { run, west, north, both, isAnswered } = scene;
  await run.check('apex: a drill takes a cluster for dead, and nothing fails', () =>
    underOpenLoop(run, { ...asked, mayFail: keptRaw }, async (seen) => {
      const { source } = run;
      const drill = ['drill', 'cluster', west.name, '--kind', 'fail', '--for', '20s', '--force'];
      // It fails where the cluster has served anything meanwhile, or a client was told a failure.
      const playing = run.linkspan(...drill, ...source.flags);
      await Promise.all([playing, isAnswered(seen, north.name)]);
      await isAnswered(seen, ...both);
    }),
  );
}

/** Half of the pods are enough for what is asked: too few endpoints by what there were, and nothing fails. */
async function checkDemand(scene: Scene, asked: OpenLoopOptions): Promise<void> {
  const { run, west, north, both, isAnswered } = scene;
  const scale = async (replicas: number) => {
    for (const target of [west, north])
      await target.kubectl('-n', run.namespace, 'scale', 'deployment/member', `--replicas=${replicas}`);
    for (const target of [west, north]) await run.rolledOut(target, run.namespace, 'member');
  };
  for (const [what, service] of [
    ['it', APEX],
    ['a federated Service', SERVICE],
  ] as const)
    await run.check(`apex: with half of the pods ${what} has enough for what is asked, and says so`, () =>
      underOpenLoop(run, { ...asked, service, mayFail: keptRaw }, async (seen) => {
        try {
          await scale(Math.floor(run.replicas / 2));
          await isAnswered(seen, ...both);
          await run.until(async () => (await shortage(run, service)) === 'False DemandMet', 90_000);
        } finally {
          await scale(run.replicas);
        }
        await run.until(async () => (await shortage(run, service)) === 'False CapacitySuffices', 90_000);
        await isAnswered(seen, ...both);
      }),
    );
}

/** `True DemandUnmet`: what is said of the capacity of a Service in the source. */
async function shortage({ source, namespace }: FailoverRun, service: string): Promise<string> {
  interface Told {
    readonly status?: {
      readonly conditions?: readonly {
        readonly type: string;
        readonly status: string;
        readonly reason: string;
      }[];
    };
  }
  const told = await source.json<Told>('-n', namespace, 'service', service);
  const found = told?.status?.conditions?.find(({ type }) => type === FAILOVER_CONDITIONS.short);
  return `${found?.status ?? ''} ${found?.reason ?? ''}`;
}

function drainOne(
  run: FailoverRun,
  verb: 'drain' | 'undrain',
  { name }: Context,
  ...flags: string[]
): Promise<string> {
  const service = ['--service', `${run.namespace}/${APEX}`];
  return run.linkspan(verb, 'cluster', name, ...service, ...flags, ...run.source.flags);
}
