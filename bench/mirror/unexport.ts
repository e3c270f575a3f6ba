import { EXPORTED_LABEL } from '../../src/api/names.ts';
import { services } from '../../src/api/kubernetes/resource.ts';
import { clientOf } from '../../test/support/cluster-objects.ts';
import type { Stage } from './stage.ts';
import { EXPORTED } from './support/objects.ts';
import { inParallel, timed } from './support/parallel.ts';
import { mean, type Measurement } from './support/results.ts';

/**
 * A thousand labels taken away by parallel requests: from the first of them until the last mirror is gone.
 */
export async function unexport(stage: Stage): Promise<Measurement[]> {
  const { watch, target, sizes } = stage;
  const count = sizes.services;
  const before = await stage.raw(count);
  await stage.mirrored();
  stage.say('unexport: taking the labels away');
  const pairs = await stage.base();
  const body = { metadata: { labels: { [EXPORTED_LABEL]: null } } };
  let unlabelling: number;
  let seconds: number;
  const start = performance.now();
  try {
    const gone = watch.until('all mirrors are gone', () => watch.left('west') === 0);
    unlabelling = await timed(() =>
      inParallel(pairs, ({ service }) => {
        const { namespace = '', name = '' } = service.metadata ?? {};
        return clientOf(target).patch(services, { namespace, name }, body, { type: 'merge' });
      }),
    );
    seconds = ((await gone) - start) / 1000;
  } finally {
    // Others want them exported.
    await stage.stopController();
    await stage.label(target, pairs, EXPORTED);
  }
  const after = await stage.raw(count);
  return [
    {
      what: `${count} labels removed, to all mirrors gone`,
      unit: 's',
      value: seconds,
      raw: mean([before.remove, after.remove]),
      target: { kind: 'ratio', max: 1.5 },
      note: `taking the labels away alone took ${unlabelling.toFixed(2)} s of it; raw ${before.remove.toFixed(2)} s before, ${after.remove.toFixed(2)} s after`,
    },
  ];
}
