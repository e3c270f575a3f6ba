import { sleep, systemClock } from '../../src/base/clock.ts';
import type { Stage } from './stage.ts';
import { apiCalls, describeWrites, total, writesBetween } from './support/api-calls.ts';
import type { Measurement } from './support/results.ts';

/** A minute in which nothing changes. */
export async function idle(stage: Stage): Promise<Measurement[]> {
  const { services, idleSeconds } = stage.sizes;
  const controller = await stage.mirrored();
  stage.say(`idle: watching for ${idleSeconds} s that nothing is written`);
  const cpu = controller.cpuSeconds();
  const calls = await apiCalls(stage.client);
  await sleep(systemClock, idleSeconds * 1000);
  const writes = writesBetween(calls, await apiCalls(stage.client));
  const share = (controller.cpuSeconds() - cpu) / idleSeconds;
  return [
    {
      what: `writes in ${idleSeconds} s with ${services} mirrors and no change (without Leases)`,
      unit: 'writes',
      value: total(writes),
      target: { kind: 'max', max: 0 },
      note: [describeWrites(writes), `${(share * 100).toFixed(1)} % of one CPU`]
        .filter((text) => text !== '')
        .join('; '),
    },
  ];
}
