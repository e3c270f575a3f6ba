import type { Stage } from './stage.ts';
import { EXPORTED } from './support/objects.ts';
import { end } from './support/programs.ts';
import type { Measurement } from './support/results.ts';

/** A hundred Links in one controller; the target clusters are stubs in one process. */
export async function links(stage: Stage): Promise<Measurement[]> {
  const { watch, sizes } = stage;
  const { links: count, servicesPerLink } = sizes;
  await stage.clear();
  const stub = await stage.stubs({ clusters: count, exported: servicesPerLink });
  try {
    const half = Math.ceil((count * servicesPerLink) / 2);
    const before = await stage.raw(half);
    const names = Array.from({ length: count }, (_, n) => `s${n}`);
    for (const name of names) await stage.link(name, stub.kubeconfig(name), EXPORTED);
    stage.say(`links: ${count} Links with ${servicesPerLink} exports each`);
    const controller = await stage.startController();
    const done = await watch.until('all Links are mirrored', () =>
      names.every((name) => watch.complete(name) === servicesPerLink),
    );
    const cpu = controller.cpuSeconds();
    await controller.idle(count);
    stage.say('links: waiting until its memory changes no more');
    const memory = await controller.settledMemory();
    const after = await stage.raw(half);
    return [
      {
        what: `${count} Links x ${servicesPerLink} exports, cold, to all mirrors with endpoints`,
        unit: 's',
        value: (done - controller.startedAt) / 1000,
        raw: before.create + after.create,
        target: { kind: 'ratio', max: 1.5 },
        note: `controller used ${cpu.toFixed(1)} s of CPU`,
      },
      {
        what: `resident memory with ${count} Links`,
        unit: 'MB',
        value: memory.now,
        target: { kind: 'max', max: 400 },
        note: `peak ${memory.peak.toFixed(0)} MB`,
      },
    ];
  } finally {
    await stage.stopController();
    await end(stub.program.child);
    await stage.clear();
  }
}
