import type { Stage } from './stage.ts';
import { EXPORTED } from './support/objects.ts';
import { end } from './support/programs.ts';
import type { Measurement } from './support/results.ts';

const ADDRESSES = 5;

/**
 * Resident memory of a controller that has mirrored a thousand Services, and of one whose target has ten
 * thousand of which few are exported. The large target is a stub, which answers in pages as an API server
 * does: making it for real takes longer than all the rest.
 */
export async function memory(stage: Stage): Promise<Measurement[]> {
  const { services, huge, few } = stage.sizes;
  await stage.base();
  await stage.clear();
  const mirroring = await stage.mirrored();
  stage.say('memory: waiting until it changes no more');
  const mirrored = await mirroring.settledMemory();

  await stage.clear();
  const stub = await stage.stubs({ clusters: 1, exported: few, others: huge - few, addresses: ADDRESSES });
  try {
    await stage.link('s0', stub.kubeconfig('s0'), EXPORTED);
    const controller = await stage.startController();
    await stage.watch.until('the few are mirrored', () => stage.watch.complete('s0') === few);
    await controller.idle(1);
    stage.say('memory: waiting until it changes no more');
    const filtered = await controller.settledMemory();
    return [
      row(`resident memory with ${services} mirrors`, mirrored, 120),
      row(`resident memory, ${few} of ${huge} Services exported`, filtered, 100),
    ];
  } finally {
    await stage.stopController();
    await end(stub.program.child);
    await stage.clear();
  }
}

function row(what: string, { now, peak }: { now: number; peak: number }, max: number): Measurement {
  return { what, unit: 'MB', value: now, target: { kind: 'max', max }, note: `peak ${peak.toFixed(0)} MB` };
}
