import { endpointSlices, services, type ObjectRef } from '../../../src/api/kubernetes/resource.ts';
import type { Pair } from './objects.ts';
import { mirrorPairs } from './objects.ts';
import { inParallel, timed } from './parallel.ts';
import type { PlainClient } from './plain-client.ts';

/**
 * The limit of this machine at this moment: seconds that plain requests, 32 at once and nothing else, take
 * for as many pairs of Service and slice.
 */
export interface RawTimes {
  readonly create: number;
  /** Taking the endpoints of every slice away, one patch each. */
  readonly patch: number;
  readonly remove: number;
}

/**
 * Creates, patches and deletes pairs of the same bodies as mirrors in namespaces of their own. No controller
 * may run meanwhile.
 */
export async function rawRound(client: PlainClient, count: number, gateway: string): Promise<RawTimes> {
  const pairs = mirrorPairs(count, gateway);
  const written: Pair[] = [];
  const create = await timed(() =>
    inParallel(pairs, async ({ service, slice }) => {
      const owner = await client.create(services, service);
      written.push({ service: owner, slice: await client.create(endpointSlices, owned(slice, owner)) });
    }),
  );
  const patch = await timed(() =>
    inParallel(written, ({ slice }) => {
      const { uid, resourceVersion } = slice.metadata ?? {};
      const body = { metadata: { uid, resourceVersion }, endpoints: [] };
      return client.mergePatch(endpointSlices, refOf(slice), body);
    }),
  );
  const remove = await timed(() =>
    inParallel(written, async ({ service, slice }) => {
      await client.delete(services, refOf(service), service.metadata?.uid ?? '');
      await client.delete(endpointSlices, refOf(slice), slice.metadata?.uid ?? '');
    }),
  );
  return { create, patch, remove };
}

function owned(slice: Pair['slice'], { metadata }: Pair['service']): Pair['slice'] {
  const owner = { apiVersion: 'v1', kind: 'Service', name: metadata?.name ?? '', uid: metadata?.uid ?? '' };
  return { ...slice, metadata: { ...slice.metadata, ownerReferences: [owner] } };
}

function refOf({ metadata }: Pair['service'] | Pair['slice']): ObjectRef {
  return { namespace: metadata?.namespace ?? '', name: metadata?.name ?? '' };
}
