import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Context } from './clusters.ts';
import type { FailoverRun } from './failover-scene.ts';
import { answererManifests, answererService } from './workloads.ts';

/** The Service that is exported, and the two that its requests are divided among. */
const APEX = 'checkout';
const [STABLE, CANARY] = ['checkout-stable', 'checkout-canary'];
const REQUESTS = 10_000;
/** How far a share may be from what is written, of 1. */
const TOLERANCE = 0.01;
const WORKERS = 8;

type Counts = Readonly<Record<string, number>>;

/** Installs the kinds of splits and routes, unmodified, in a cluster. */
export async function installKinds({ crds }: FailoverRun, cluster: Context): Promise<void> {
  if (crds === undefined) throw new Error('give --crds');
  const files = readdirSync(crds).filter((name) => name.endsWith('.yaml'));
  for (const name of files) await cluster.apply(readFileSync(path.join(crds, name), 'utf8'));
  const established = ['--for=condition=Established', '--timeout=60s'];
  for (const name of files) await cluster.kubectl('wait', ...established, '-f', path.join(crds, name));
}

/** What is written about a Service in its own cluster, which clients of another one must find followed. */
export async function checkSplits(run: FailoverRun): Promise<void> {
  const [target] = run.targets;
  if (target === undefined) throw new Error('give three clusters');
  const { check, namespace, nodeImage } = run;
  const host = `${APEX}-${target.name}.${namespace}.svc`;
  const say = (kind: string, version: string, spec: object) =>
    target.apply(JSON.stringify({ apiVersion: version, kind, metadata: { name: APEX, namespace }, spec }));
  const drop = (kind: string) => target.kubectl('-n', namespace, 'delete', kind, APEX);
  const split = (version: string, weights: readonly [stable: unknown, canary: unknown]) =>
    say('TrafficSplit', `split.smi-spec.io/${version}`, {
      service: APEX,
      backends: [STABLE, CANARY].map((service, nth) => ({ service, weight: weights[nth] })),
    });
  const ask = (count: number, url: string, ...fields: string[]) => spread(run, count, url, fields);
  const http = `http://${host}/`;

  await check(`the kinds that upstream publishes are installed in ${target.name}`, async () => {
    await installKinds(run, target);
    await target.apply(answererService(namespace, APEX, { app: STABLE, labels: EXPORTED }));
    for (const name of [STABLE, CANARY]) {
      await target.apply(answererManifests(namespace, nodeImage, { name, says: name, replicas: 2 }));
      await target.apply(answererService(namespace, name));
      await run.rolledOut(target, namespace, name);
    }
    await run.until(async () => STABLE in (await ask(1, http)));
    return '';
  });
  for (const [version, weights] of [
    ['v1alpha2', [90, 10]],
    ['v1alpha1', ['900m', '100m']],
  ] as const)
    await check(`a TrafficSplit ${version} of ${weights.join('/')} is followed within 1 point`, async () => {
      await split(version, weights);
      await run.until(async () => CANARY in (await ask(50, http)));
      const counts = await ask(REQUESTS, http);
      await drop('trafficsplits.split.smi-spec.io');
      await run.until(async () => !(CANARY in (await ask(50, http))));
      return withinTolerance(counts);
    });
  await check('an HTTPRoute leads to the canary by header, and divides the rest 90/10', async () => {
    await say('HTTPRoute', 'gateway.networking.k8s.io/v1', {
      parentRefs: [{ group: '', kind: 'Service', name: APEX, port: 80 }],
      rules: [
        { matches: [{ headers: [{ name: 'x-canary', value: 'yes' }] }], backendRefs: [ref(CANARY, 80)] },
        { backendRefs: [ref(STABLE, 80, 90), ref(CANARY, 80, 10)] },
      ],
    });
    await run.until(async () => CANARY in (await ask(50, http)));
    const marked = await ask(500, http, 'x-canary=yes');
    if (marked[CANARY] !== 500) throw new Error(`with the header: ${JSON.stringify(marked)}`);
    const counts = await ask(REQUESTS, http);
    await accepted(run, target, 'httproutes.gateway.networking.k8s.io');
    await drop('httproutes.gateway.networking.k8s.io');
    return `${withinTolerance(counts)}; with the header 500 of 500 ${CANARY}`;
  });
  await check('a GRPCRoute leads one method to the canary', async () => {
    const grpc = `grpc://${host}:81/member.Member`;
    await say('GRPCRoute', 'gateway.networking.k8s.io/v1', {
      parentRefs: [{ group: '', kind: 'Service', name: APEX, port: 81 }],
      rules: [
        {
          matches: [{ method: { service: 'member.Member', method: 'New' } }],
          backendRefs: [ref(CANARY, 81)],
        },
        { backendRefs: [ref(STABLE, 81)] },
      ],
    });
    await run.until(async () => CANARY in (await ask(1, `${grpc}/New`)));
    const seen = [await ask(200, `${grpc}/New`), await ask(200, `${grpc}/Name`)];
    if (seen[0]?.[CANARY] !== 200 || seen[1]?.[STABLE] !== 200) throw new Error(JSON.stringify(seen));
    await accepted(run, target, 'grpcroutes.gateway.networking.k8s.io');
    await drop('grpcroutes.gateway.networking.k8s.io');
    return '200 of 200 each';
  });
}

const EXPORTED = { 'mirror.linkerd.io/exported': 'true' };

function ref(name: string, port: number, weight?: number): object {
  return { name, port, ...(weight === undefined ? {} : { weight }) };
}

async function spread(run: FailoverRun, count: number, url: string, fields: string[]): Promise<Counts> {
  const command = ['node', '/programs/spread.mts', String(count), String(WORKERS), url, ...fields];
  return JSON.parse(
    await run.source.kubectl('-n', run.namespace, 'exec', 'client', '--', ...command),
  ) as Counts;
}

function withinTolerance(counts: Counts): string {
  const [stable = 0, canary = 0] = [counts[STABLE], counts[CANARY]];
  const share = canary / REQUESTS;
  const words = JSON.stringify(counts);
  if (stable + canary !== REQUESTS) throw new Error(`not all were answered: ${words}`);
  if (Math.abs(share - 0.1) > TOLERANCE) throw new Error(`${share} went to the canary: ${words}`);
  return `${REQUESTS} requests, ${(share * 100).toFixed(2)} % to the canary, none failed`;
}

/** Waits until the route is told that it is followed. */
async function accepted({ namespace, until }: FailoverRun, target: Context, kind: string): Promise<void> {
  interface Routed {
    readonly status?: { readonly parents?: readonly { readonly conditions: readonly Condition[] }[] };
  }
  interface Condition {
    readonly type: string;
    readonly status: string;
  }
  await until(async () => {
    const route = await target.json<Routed>('-n', namespace, kind, APEX);
    const told = route?.status?.parents?.flatMap(({ conditions }) => conditions) ?? [];
    return ['Accepted', 'ResolvedRefs'].every((type) =>
      told.some((condition) => condition.type === type && condition.status === 'True'),
    );
  });
}
