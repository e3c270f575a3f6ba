import { type Scene, keptRaw, scaleGateway } from './failover-scene.ts';
import { underOpenLoop } from './open-loop.ts';

/** What people take away themselves, and what is left when the rest is lost as well. */
export async function checkDrains(scene: Scene): Promise<void> {
  const { run, west, north, both, load, isAnswered, backend } = scene;
  const { source, linkspan } = run;
  const end = ['--until', '10m'];
  await run.check(
    'a drained cluster is used again when the other one is lost, and left when that is back',
    () =>
      underOpenLoop(run, { ...load, mayFail: keptRaw }, async (seen) => {
        // Two clusters with as many pods as they need cannot bear each other's load: it says so.
        await linkspan('drain', 'cluster', west.name, '--ramp', '2s', ...end, '--force', ...source.flags);
        await isAnswered(seen, north.name);
        await scaleGateway(run, north, 0);
        await isAnswered(seen, west.name);
        await scaleGateway(run, north, 1);
        await isAnswered(seen, north.name);
        await linkspan('undrain', 'cluster', west.name, ...source.flags);
        await isAnswered(seen, ...both);
      }),
  );
  await run.check(
    'a target that asks to be left is left, without rights in the source: nothing fails',
    async () => {
      let heard = '';
      const seen = await underOpenLoop(run, { ...load, mayFail: keptRaw }, async (seenSoFar) => {
        const began = performance.now();
        await linkspan('drain', 'gateway', '--ramp', '2s', ...end, ...west.flags);
        await run.until(async () => (await backend(west)).state !== 'Active');
        heard = `; heard within ${((performance.now() - began) / 1000).toFixed(1)} s`;
        await isAnswered(seenSoFar, north.name);
        // What Linkerd's sources see at the end of the ramp.
        await run.until(async () => (await probe(scene)) === '503');
        await linkspan('undrain', 'gateway', ...west.flags);
        await isAnswered(seenSoFar, ...both);
        await run.until(async () => (await probe(scene)) === '200');
      });
      return seen + heard;
    },
  );
}

/** The status with which the gateway of the first target answers a probe of the source. */
async function probe({ run, west }: Scene): Promise<string> {
  interface Service {
    readonly spec: { readonly ports: readonly { readonly name: string; readonly port: number }[] };
    readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip?: string }[] } };
  }
  const service = await west.json<Service>('-n', run.system, 'service', 'linkerd-gateway');
  const address = service?.status.loadBalancer.ingress?.[0]?.ip ?? '';
  const port = service?.spec.ports.find(({ name }) => name === 'mc-probe')?.port ?? 0;
  const asked = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', `http://${address}:${port}/ready`];
  return run.source.kubectl('-n', run.namespace, 'exec', 'curl', '--', ...asked);
}
