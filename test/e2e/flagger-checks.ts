import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type FailoverRun, hasEvent } from './failover-scene.ts';
import { answererManifests } from './workloads.ts';

const NAME = 'rolling';
const SPLITS = 'trafficsplits.split.smi-spec.io';
/** Steps of Flagger's are so far apart; it takes no shorter time. */
const STEP = '10s';
const PATIENCE_MS = 300_000;

interface Canary {
  readonly status?: { readonly phase?: string };
}
interface Split {
  readonly metadata: { readonly managedFields?: readonly { readonly manager: string }[] };
  readonly spec: { readonly backends: readonly { readonly service: string; readonly weight: number }[] };
}

/** Flagger itself moves the weights of an object that somebody has labelled for us, too. */
export async function checkFlagger(run: FailoverRun): Promise<void> {
  const { source, namespace, flagger, check, say } = run;
  if (flagger === undefined) {
    say('without --flagger no other controller writes weights');
    return;
  }
  await check('Flagger rolls out by a TrafficSplit that has our label: not one weight is ours', async () => {
    const dir = await mkdtemp(path.join(os.tmpdir(), 'linkspan-e2e-'));
    const kubeconfig = path.join(dir, 'kubeconfig');
    await writeFile(kubeconfig, await source.kubectl('config', 'view', '--raw', '--minify', '--flatten'));
    const flags = ['-kubeconfig', kubeconfig, '-namespace', namespace, '-mesh-provider', 'smi:v1alpha2'];
    const program = spawn(flagger, [...flags, '-port', '18080'], { stdio: 'ignore' });
    try {
      return await rollOut(run);
    } finally {
      program.kill();
      await source.kubectl('-n', namespace, 'delete', 'canaries.flagger.app', NAME);
      await rm(dir, { recursive: true, force: true });
    }
  });
}

async function rollOut(run: FailoverRun): Promise<string> {
  const { source, namespace, nodeImage, until } = run;
  await source.apply(answererManifests(namespace, nodeImage, { name: NAME, says: 'first', replicas: 2 }));
  await source.apply(JSON.stringify(canary(namespace)));
  const phase = async () =>
    (await source.json<Canary>('-n', namespace, 'canaries.flagger.app', NAME))?.status?.phase;
  await until(async () => (await phase()) === 'Initialized', PATIENCE_MS);
  await source.kubectl('-n', namespace, 'label', SPLITS, NAME, 'failover.linkerd.io/controlled-by=linkspan');
  await hasEvent(run, 'OtherController');
  await source.kubectl('-n', namespace, 'set', 'env', `deployment/${NAME}`, 'RELEASE=2');
  const seen: string[] = [];
  const writers = new Set<string>();
  await until(async () => {
    const split = await source.json<Split>('-n', namespace, SPLITS, NAME, '--show-managed-fields');
    const weights = (split?.spec.backends ?? []).map(({ weight }) => weight).join('/');
    if (seen.at(-1) !== weights) seen.push(weights);
    for (const { manager } of split?.metadata.managedFields ?? []) writers.add(manager);
    return seen.length > 1 && (await phase()) === 'Succeeded';
  }, PATIENCE_MS);
  const words = `${seen.join(', ')}; written by ${[...writers].join(', ')}`;
  if (!seen.includes('50/50') || !writers.has('flagger') || writers.has('linkspan-failover'))
    throw new Error(words);
  return words;
}

function canary(namespace: string): object {
  return {
    apiVersion: 'flagger.app/v1beta1',
    kind: 'Canary',
    metadata: { name: NAME, namespace },
    spec: {
      targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: NAME },
      progressDeadlineSeconds: 120,
      service: { port: 80, targetPort: 8080 },
      analysis: { interval: STEP, threshold: 5, maxWeight: 50, stepWeight: 25, metrics: [] },
    },
  };
}
