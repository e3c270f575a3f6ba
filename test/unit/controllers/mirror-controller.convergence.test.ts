import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import fc from 'fast-check';
import type { FakeCluster } from '../../support/fake-cluster.ts';
import { HEADLESS_MIRROR_LABEL } from '../../../src/api/names.ts';
import { type Happening, MirrorWorld } from '../../support/mirror-world.ts';

const NAMES = ['a', 'b', 'c'];

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('export' as const),
      name: fc.constantFrom(...NAMES),
      port: fc.integer({ min: 80, max: 83 }),
      ready: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'unexport' as const,
        'delete' as const,
        'join' as const,
        'drift' as const,
        'drop' as const,
        'disown' as const,
        'hold' as const,
      ),
      name: fc.constantFrom(...NAMES, 'd'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('pods' as const),
      name: fc.constant('d'),
      pods: fc.constantFrom('none' as const, 'anonymous' as const, 'named' as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'cut' as const,
        'compact' as const,
        'fail' as const,
        'lose' as const,
        'refuse' as const,
        'restart' as const,
      ),
    }),
  },
);

interface Mirroring {
  readonly mirrors: Map<string, [port: number, ready: boolean]>;
  readonly federated: Set<string>;
  /** Form of each mirror of a headless Service that has endpoints, and how many hosts it has. */
  readonly headless: Map<string, [headless: boolean, hosts: number]>;
}

/** What a person would expect here, from what is over there. */
function expected(target: FakeCluster): Mirroring {
  const [mirrors, federated, headless] = [new Map(), new Set<string>(), new Map()];
  const slices = target.all<V1EndpointSlice>('endpointslices');
  for (const [key, { metadata, spec }] of target.all<V1Service>('services')) {
    const pods = slices.get(`${key}-1`)?.endpoints ?? [];
    const isExported = metadata?.labels?.['exported'] === 'true';
    // `c-west` and `b-federated` are a user's.
    if (isExported && key !== 'demo/c')
      mirrors.set(`${key}-west`, [spec?.ports?.[0]?.port ?? 0, pods.length > 0]);
    const isHeadless = spec?.clusterIP === 'None';
    if (metadata?.labels?.['federated'] === 'member' && key !== 'demo/b' && !isHeadless)
      federated.add(`${key}-federated`);
    const hosts = pods.filter(({ hostname }) => hostname !== undefined).length;
    if (isExported && isHeadless && pods.length > 0) headless.set(`${key}-west`, [hosts > 0, hosts]);
  }
  return { mirrors, federated, headless };
}

function found(source: FakeCluster): Mirroring {
  const [mirrors, federated, headless] = [new Map(), new Set<string>(), new Map()];
  const slices = source.all<V1EndpointSlice>('endpointslices');
  const services = source.all<V1Service>('services');
  const hostsOf = (mirror: string | undefined) =>
    [...services.values()].filter(({ metadata }) => metadata?.labels?.[HEADLESS_MIRROR_LABEL] === mirror);
  for (const [key, { metadata, spec }] of services) {
    if (metadata?.uid?.startsWith('mine') === true) continue;
    if (metadata?.labels?.[HEADLESS_MIRROR_LABEL] !== undefined) continue;
    const ready = (slices.get(`${key}-linkspan-ipv4`)?.endpoints ?? []).length > 0;
    if (key.endsWith('-federated')) federated.add(key);
    else mirrors.set(key, [spec?.ports?.[0]?.port ?? 0, ready]);
    if (key === 'demo/d-west' && ready)
      headless.set(key, [spec?.clusterIP === 'None', hostsOf(metadata?.name).length]);
  }
  return { mirrors, federated, headless };
}

const RUNS = Number(process.env['LINKSPAN_PROPERTY_RUNS'] ?? 100);

describe('mirroring converges', () => {
  it('to the same objects whatever happened in whatever order, and never touches what is not its own', async () => {
    const story = fc.array(fc.record({ what: happening, pauseMs: fc.constantFrom(0, 1, 50, 2000) }), {
      minLength: 15,
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(
        story,
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        async (events, chances) => {
          const world = new MirrorWorld(() => chances.next().value as number);
          const mine = () =>
            ['demo/c-west', 'demo/b-federated'].map((key) => world.source.all('services').get(key));
          const before = mine();
          try {
            for (const { what, pauseMs } of events) {
              await world.happen(what);
              if (pauseMs > 0) await world.clock.advance(pauseMs);
            }
            await world.rest();
            expect(found(world.source)).to.deep.equal(expected(world.target));
            expect(mine()).to.deep.equal(before);
            // One whose owner is gone is the garbage collector's, which this world does not have.
            const orphans = [...world.source.all<V1EndpointSlice>('endpointslices')]
              .filter(([key]) => !world.source.all('services').has(key.replace('-linkspan-ipv4', '')))
              .filter(([, { metadata }]) => metadata?.ownerReferences?.[0]?.kind !== 'Service');
            expect(orphans, 'slices that nobody will ever remove').to.deep.equal([]);
          } finally {
            await world.close();
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('without another Service for a headless export whose pods have no host names, through restarts and times without pods', async () => {
    // linkerd2#10916: a Deployment's pods; its mirror got another ClusterIP each time.
    const event = fc.oneof(
      fc.record({
        kind: fc.constant('pods' as const),
        name: fc.constant('d'),
        pods: fc.constantFrom('none' as const, 'anonymous' as const),
      }),
      fc.record({ kind: fc.constantFrom('cut' as const, 'compact' as const, 'restart' as const) }),
    );
    const story = fc.array(fc.record({ what: event, pauseMs: fc.constantFrom(0, 1, 50, 2000) }), {
      minLength: 3,
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(story, async (events) => {
        const world = new MirrorWorld(() => 0);
        const mirror = () => world.source.all<V1Service>('services').get('demo/d-west');
        try {
          await world.happen({ kind: 'pods', name: 'd', pods: 'anonymous' });
          await world.rest();
          const uid = mirror()?.metadata?.uid;
          expect(uid).not.to.equal(undefined);
          for (const { what, pauseMs } of events) {
            await world.happen(what);
            await world.clock.advance(pauseMs);
            expect(mirror()?.metadata?.uid).to.equal(uid);
          }
          await world.rest();
          expect(mirror()?.metadata?.uid).to.equal(uid);
        } finally {
          await world.close();
        }
      }),
      { numRuns: Math.ceil(RUNS / 4) },
    );
  });

  it('in its endpoints although every change of a Service is refused', async () => {
    // kyverno#7378: a policy refused the mirror's labels, and dead pods were never withdrawn.
    const event = fc.record({
      kind: fc.constant('export' as const),
      name: fc.constantFrom('a', 'b'),
      port: fc.integer({ min: 80, max: 83 }),
      ready: fc.boolean(),
    });
    const story = fc.array(fc.record({ what: event, pauseMs: fc.constantFrom(0, 1, 50, 2000) }), {
      minLength: 1,
      maxLength: 8,
    });
    const ready = ({ mirrors }: Mirroring) =>
      new Map([...mirrors].map(([key, [, isReady]]) => [key, isReady] as const));
    await fc.assert(
      fc.asyncProperty(story, async (events) => {
        const world = new MirrorWorld(() => 0);
        try {
          for (const name of ['a', 'b']) await world.happen({ kind: 'export', name, port: 80, ready: true });
          await world.rest();
          await world.happen({ kind: 'refuse' });
          for (const { what, pauseMs } of events) {
            await world.happen(what);
            await world.clock.advance(pauseMs);
          }
          await world.pass();
          expect(ready(found(world.source))).to.deep.equal(ready(expected(world.target)));
          await world.rest();
          expect(found(world.source)).to.deep.equal(expected(world.target));
        } finally {
          await world.close();
        }
      }),
      { numRuns: Math.ceil(RUNS / 4) },
    );
  });

  it('without asking again and again for what a finalizer holds, in each way a mirror goes', async () => {
    // opentelemetry-operator#2364: delete and create without end, 87 requests/s.
    const gone: readonly Happening[] = [
      { kind: 'pods', name: 'd', pods: 'named' },
      { kind: 'delete', name: 'd' },
      { kind: 'unexport', name: 'd' },
    ];
    for (const what of gone) {
      const world = new MirrorWorld(() => 0);
      try {
        await world.happen({ kind: 'pods', name: 'd', pods: 'anonymous' });
        await world.rest();
        await world.happen({ kind: 'hold', name: 'd' });
        await world.clock.advance(1000);
        const before = world.calls;
        await world.happen(what);
        await world.pass();
        expect(world.calls - before, what.kind).to.be.lessThan(12);
        await world.happen({ kind: 'pods', name: 'd', pods: 'named' });
        await world.pass();
        expect(world.calls - before, `${what.kind}, exported again`).to.be.lessThan(24);
        await world.rest();
        expect(found(world.source)).to.deep.equal(expected(world.target));
      } finally {
        await world.close();
      }
    }
  });
});
