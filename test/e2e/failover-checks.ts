import { checkApexes } from './failover-apexes.ts';
import { checkDrains } from './failover-drains.ts';
import { checkMidRamp, checkReadinessLoop } from './failover-hysteresis.ts';
import { checkNetwork } from './failover-network.ts';
import {
  type FailoverRun,
  hasEvent,
  keptRaw,
  notIdempotent,
  openScene,
  type Scene,
  scaleGateway,
} from './failover-scene.ts';
import { underOpenLoop } from './open-loop.ts';
import { DEPLOYMENTS, killPods, podsWith } from './pods.ts';

/** Clients of every protocol ask a Service of two other clusters while these are lost and come back. */
export async function checkFailover(run: FailoverRun): Promise<void> {
  const scene = openScene(run);
  await checkGateway(scene);
  await checkPods(scene);
  await checkReadinessLoop(scene);
  await checkMidRamp(scene);
  await checkDrains(scene);
  await checkApexes(scene);
  await checkNetwork(scene);
}

async function checkGateway(scene: Scene): Promise<void> {
  const { run, west, north, both, load, isAnswered } = scene;
  const { check, system } = run;
  await check('clients of every protocol are answered by both clusters', () =>
    underOpenLoop(run, load, (seen) => isAnswered(seen, ...both)),
  );
  await check('a gateway that is killed: nothing idempotent fails, and it is used again', () =>
    underOpenLoop(run, { ...load, mayFail: notIdempotent }, async (seen) => {
      const killed = await podsWith(run, west, 'gateway');
      await killPods(run, west, killed);
      // It is replaced within seconds: maybe before it has been missed.
      await run.until(async () => {
        const pods = await podsWith(run, west, 'gateway');
        return pods.length > 0 && !pods.some((name) => killed.includes(name));
      });
      await run.rolledOut(west, system, DEPLOYMENTS.gateway);
      const from = await seen.now();
      await run.until(async () => (await seen.answeredSince(from)).has(west.name));
    }),
  );
  await check('a gateway that is scaled to nothing and back: only raw connections on it end', () =>
    underOpenLoop(run, { ...load, mayFail: keptRaw }, async (seen) => {
      await scaleGateway(run, west, 0);
      await isAnswered(seen, north.name);
      await hasEvent(run, 'Failover');
      await scaleGateway(run, west, 1);
      await isAnswered(seen, ...both);
      await hasEvent(run, 'FailBack');
    }),
  );
}

async function checkPods(scene: Scene): Promise<void> {
  const { run, west, north, both, load, isAnswered } = scene;
  const { check, system, namespace } = run;
  await check(`pods of one cluster from ${run.replicas} to none and back: only raw connections end`, () =>
    underOpenLoop(run, { ...load, mayFail: keptRaw }, async (seen) => {
      const half = Math.ceil(run.replicas / 2);
      for (const replicas of [half, 1, 0, run.replicas]) {
        await west.kubectl('-n', namespace, 'scale', 'deployment/member', `--replicas=${replicas}`);
        await run.rolledOut(west, namespace, 'member');
        await (replicas === 0 ? isAnswered(seen, north.name) : isAnswered(seen, ...both));
      }
    }),
  );
  await check('the egress is rolled: nothing idempotent fails', () =>
    underOpenLoop(run, { ...load, mayFail: notIdempotent }, async (seen) => {
      await run.source.kubectl('-n', system, 'rollout', 'restart', `deployment/${DEPLOYMENTS.egress}`);
      await run.rolledOut(run.source, system, DEPLOYMENTS.egress);
      await isAnswered(seen, ...both);
    }),
  );
}
