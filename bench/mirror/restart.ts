import { sleep, systemClock } from '../../src/base/clock.ts';
import type { Stage } from './stage.ts';
import { apiCalls, describeWrites, total, writesBetween } from './support/api-calls.ts';
import type { Measurement } from './support/results.ts';

/**
 * How long after it is synced writes are still counted: longer than the controller takes to write a status
 * that it was not sure of.
 */
const AFTERMATH_MS = 7000;

/**
 * SIGTERM and start again with everything mirrored: how soon all has been looked at, and that nothing is
 * written for it.
 */
export async function restart(stage: Stage): Promise<Measurement[]> {
  await stage.mirrored();
  await stage.stopController();
  const calls = await apiCalls(stage.client);
  stage.say('restart: starting the controller again');
  const controller = await stage.startController();
  const synced = await controller.idle(1);
  await sleep(systemClock, AFTERMATH_MS);
  const writes = writesBetween(calls, await apiCalls(stage.client));
  return [
    {
      what: `restart with ${stage.sizes.services} mirrors, to synced`,
      unit: 's',
      value: (synced - controller.startedAt) / 1000,
      target: { kind: 'max', max: 3 },
    },
    {
      what: 'writes of a restart (without Leases)',
      unit: 'writes',
      value: total(writes),
      target: { kind: 'max', max: 0 },
      note: describeWrites(writes),
    },
  ];
}
