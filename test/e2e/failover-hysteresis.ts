import {
  countsOf,
  hasEvent,
  keptRaw,
  notIdempotent,
  pause,
  type Scene,
  scaleGateway,
  SHORT_POLICY,
} from './failover-scene.ts';
import { underOpenLoop } from './open-loop.ts';
import { DEPLOYMENTS } from './pods.ts';

/** How long the pods of a member are ready, and then not, milliseconds. */
const LOOP_MS = 3000;
const RAMP_MS = 20_000;

/** Pods that are ready for three seconds of each six. */
export async function checkReadinessLoop(scene: Scene): Promise<void> {
  const { run, west, north, both, load, isAnswered, backend, setPolicy } = scene;
  const setLoop = async (value: string) => {
    await west.kubectl('-n', run.namespace, 'set', 'env', 'deployment/member', `LOOP_MS${value}`);
  };
  await run.check(
    'pods that are ready for 3 s of each 6 s are held longer each time, and nothing fails',
    () =>
      underOpenLoop(run, { ...load, mayFail: keptRaw }, async (seen) => {
        await setPolicy('delay=1s max-delay=10m ramp=1s');
        await setLoop(`=${LOOP_MS}`);
        try {
          // A hold that is longer than it is ever ready.
          await run.until(async () => (await backend(west)).holdMs > LOOP_MS, 90_000);
          await isAnswered(seen, north.name);
          const from = await seen.now();
          await pause(4 * LOOP_MS);
          const counts = await seen.answeredSince(from);
          if (counts.has(west.name)) throw new Error(`it got requests all the same: ${countsOf(counts)}`);
          await hasEvent(run, 'FlapDamped');
        } finally {
          await setLoop('-');
          await setPolicy(SHORT_POLICY);
        }
        await run.rolledOut(west, run.namespace, 'member');
        await isAnswered(seen, ...both);
      }),
  );
}

/** A ramp is time that passes: whoever starts in the middle of it goes on from there. */
export async function checkMidRamp(scene: Scene): Promise<void> {
  const { run, west, north, both, load, isAnswered, backend, setPolicy } = scene;
  await run.check('the egress is rolled in the middle of a ramp, which goes on', async () => {
    let words = '';
    const seen = await underOpenLoop(run, { ...load, mayFail: notIdempotent }, async (seenSoFar) => {
      await scaleGateway(run, west, 0);
      await isAnswered(seenSoFar, north.name);
      await setPolicy(`delay=1s max-delay=1s ramp=${RAMP_MS / 1000}s`);
      try {
        await scaleGateway(run, west, 1);
        await run.until(async () => (await backend(west)).share > 0.1);
        const { usableSince, share: before } = await backend(west);
        const egress = `deployment/${DEPLOYMENTS.egress}`;
        await run.source.kubectl('-n', run.system, 'rollout', 'restart', egress);
        await run.rolledOut(run.source, run.system, DEPLOYMENTS.egress);
        const after = await backend(west);
        if (after.usableSince !== usableSince) throw new Error('the ramp began again');
        if (after.share < before) throw new Error(`its share fell from ${before} to ${after.share}`);
        await run.until(async () => (await backend(west)).state === 'Active');
        const from = await seenSoFar.now();
        await pause(5000);
        const counts = await seenSoFar.answeredSince(from);
        words = `; share ${percent(before)} before, ${percent(after.share)} after it, then ${countsOf(counts)}`;
        const [its = 0, others = 0] = [counts.get(west.name), counts.get(north.name)];
        if (its < others / 2) throw new Error(`it does not get half: ${countsOf(counts)}`);
      } finally {
        await setPolicy(SHORT_POLICY);
      }
      await isAnswered(seenSoFar, ...both);
    });
    return seen + words;
  });
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
