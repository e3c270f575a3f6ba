import { endpointSlices, keyOf, services } from '../../src/api/kubernetes/resource.ts';
import { clientOf } from '../../test/support/cluster-objects.ts';
import type { Stage } from './stage.ts';
import { EXPORTED, mirrorPairs } from './support/objects.ts';
import { type Measurement, percentile } from './support/results.ts';

const RAW_ROUNDS = 50;

/**
 * One more Service exported while a thousand are mirrored and nothing else happens; again and again, one
 * after the other.
 */
export async function one(stage: Stage): Promise<Measurement[]> {
  const { target, sizes, watch } = stage;
  const pairs = await stage.made(target, { prefix: 'single', count: sizes.singles });
  await stage.mirrored();
  stage.say(`one: exporting ${pairs.length} Services one by one`);
  const times: number[] = [];
  for (const pair of pairs) times.push(await stage.exportOne(target, 'west', pair, EXPORTED));
  await stage.label(target, pairs, { 'mirror.linkerd.io/exported': null });
  await watch.until('single mirrors are gone', () => watch.left('west') === 2 * sizes.services);
  const raw = await rawChain(stage);
  const measure = (share: number, max: number): Measurement => ({
    what: `one export with ${sizes.services} mirrored, idle, p${share * 100}`,
    unit: 'ms',
    value: percentile(times, share),
    raw: percentile(raw, share) ?? 0,
    target: { kind: 'max', max },
  });
  return [measure(0.5, 30), measure(0.99, 100)];
}

/**
 * The same chain without a controller: label in the target, Service in the source, slice in the source, watch
 * event.
 */
async function rawChain({ client, target, watch, gateway }: Stage): Promise<number[]> {
  const times: number[] = [];
  const ref = { namespace: 'default', name: 'kubernetes' };
  for (const [n, { service, slice }] of mirrorPairs(RAW_ROUNDS, gateway.address).entries()) {
    const key = keyOf(service);
    const start = performance.now();
    const seen = watch.until(key, () => watch.has('raw', key));
    const body = { metadata: { labels: { 'bench.linkspan.dev/n': String(n) } } };
    await clientOf(target).patch(services, ref, body, { type: 'merge' });
    await client.create(services, service);
    await client.create(endpointSlices, slice);
    times.push((await seen) - start);
    await client.delete(services, {
      namespace: service.metadata?.namespace ?? '',
      name: service.metadata?.name ?? '',
    });
    await client.delete(endpointSlices, {
      namespace: slice.metadata?.namespace ?? '',
      name: slice.metadata?.name ?? '',
    });
  }
  return times;
}
