import { farLabel, type Stage } from './stage.ts';
import type { Measurement } from './support/results.ts';

const FEW = farLabel('few');
const ADDRESSES = 5;

/** Resident memory of a controller that has mirrored a thousand Services, and of one whose target has ten thousand of which few are exported. */
export async function memory(stage: Stage): Promise<Measurement[]> {
  const { services, huge, few, bulk } = stage.sizes;
  await stage.base();
  await stage.clear();
  const mirroring = await stage.mirrored();
  stage.say('memory: waiting until it changes no more');
  const mirrored = await mirroring.settledMemory();

  const far = await stage.far();
  const rest = huge - bulk - few;
  await stage.made(far, { prefix: 'bulk', count: bulk, labels: farLabel('bulk'), addresses: ADDRESSES });
  await stage.made(far, { prefix: 'rest', count: rest, addresses: ADDRESSES });
  await stage.made(far, { prefix: 'few', count: few, labels: FEW, addresses: ADDRESSES });
  await stage.clear();
  await stage.link('few', far.kubeconfig, FEW);
  const controller = await stage.startController();
  await stage.watch.until('the few are mirrored', () => stage.watch.complete('few') === few);
  await controller.idle(1);
  stage.say('memory: waiting until it changes no more');
  const filtered = await controller.settledMemory();
  await stage.clear();
  return [
    row(`resident memory with ${services} mirrors`, mirrored, 120),
    row(`resident memory, ${few} of ${huge} Services exported`, filtered, 100),
  ];
}

function row(what: string, { now, peak }: { now: number; peak: number }, max: number): Measurement {
  return { what, unit: 'MB', value: now, target: { kind: 'max', max }, note: `peak ${peak.toFixed(0)} MB` };
}
