import type { Stage } from './stage.ts';
import { NeverSeen } from './support/mirror-watch.ts';
import { mean, type Measurement } from './support/results.ts';

/** How long a withdrawal is waited for before it counts as not coming. */
const PATIENCE_MS = 60_000;
/** Time that is allowed beyond writing everything once: the probes must notice. */
const NOTICE_SECONDS = 3;

/** The gateway refuses connections: until no mirror leads there any more. */
export async function gatewayDead(stage: Stage): Promise<Measurement[]> {
  const { watch, sizes } = stage;
  const count = sizes.services;
  const before = await stage.raw(count);
  await stage.mirrored();
  stage.say('gateway-dead: killing the gateway');
  const killed = await stage.killGateway();
  const seconds = async (what: string, from: number, holds: () => boolean) => {
    try {
      return ((await watch.until(what, holds, PATIENCE_MS)) - from) / 1000;
    } catch (error) {
      if (error instanceof NeverSeen) return undefined;
      throw error;
    }
  };
  const withdrawn = await seconds('endpoints withdrawn', killed, () => watch.ready('west') === 0);
  const back = performance.now();
  await stage.restartGateway();
  const restored = await seconds('endpoints back', back, () => watch.ready('west') === count);
  const after = await stage.raw(count);
  const raw = mean([before.patch, after.patch]);
  return [
    {
      what: `gateway refuses, to all of ${count} mirrors withdrawn`,
      unit: 's',
      value: withdrawn,
      raw,
      target: { kind: 'beyond raw', max: NOTICE_SECONDS },
      ...(withdrawn === undefined ? { note: `not withdrawn; ${watch.ready('west')} were left` } : {}),
    },
    { what: `gateway back, to all of ${count} mirrors with endpoints`, unit: 's', value: restored, raw },
  ];
}
