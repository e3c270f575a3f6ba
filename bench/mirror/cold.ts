import type { Stage } from './stage.ts';
import { apiCalls, describeWrites, mirrorWrites, writesBetween } from './support/api-calls.ts';
import { mean, type Measurement } from './support/results.ts';

/**
 * A thousand exported Services and nothing mirrored: from the start of the controller's process until every
 * mirror has its endpoints.
 */
export async function cold(stage: Stage): Promise<Measurement[]> {
  const { watch, client, sizes } = stage;
  const count = sizes.services;
  await stage.base();
  await stage.clear();
  const before = await stage.raw(count);
  await stage.linkBase();
  const calls = await apiCalls(client);
  stage.say('cold: starting the controller');
  const controller = await stage.startController();
  const first = await watch.until('a mirror', () => watch.complete('west') > 0);
  const done = await watch.until('all mirrors', () => watch.complete('west') === count);
  const cpu = controller.cpuSeconds();
  await stage.synced('west');
  const writes = writesBetween(calls, await apiCalls(client));
  const after = await stage.raw(count);
  const seconds = (at: number) => (at - controller.startedAt) / 1000;
  return [
    {
      what: `${count} exports, cold, to all mirrors with endpoints`,
      unit: 's',
      value: seconds(done),
      raw: mean([before.create, after.create]),
      target: { kind: 'ratio', max: 1.5 },
      note: `first after ${seconds(first).toFixed(2)} s; controller used ${cpu.toFixed(1)} s of CPU; raw ${before.create.toFixed(2)} s before, ${after.create.toFixed(2)} s after`,
    },
    {
      what: 'writes per mirrored service, cold',
      unit: 'writes',
      value: mirrorWrites(writes) / count,
      target: { kind: 'max', max: 2 },
      note: describeWrites(writes),
    },
  ];
}
