import type { V1ConfigMap, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import fc from 'fast-check';
import { readEgressPorts } from '../../../../src/api/egress/egress-ports.ts';
import { isFreed, readShard, shardOfName } from '../../../../src/api/egress/egress-record.ts';
import { EGRESS_PORTS, FEDERATED_EGRESS_PORTS_GROUP } from '../../../../src/api/names.ts';
import type { FakeCluster } from '../../../support/fake-cluster.ts';
import { type Happening, MirrorWorld } from '../../../support/mirror-world.ts';

const RUNS = Number(process.env['LINKSPAN_PROPERTY_RUNS'] ?? 40);
const NAMES = ['a', 'b', 'c', 'd'];

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
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'look' as const,
        'unexport' as const,
        'delete' as const,
        'join' as const,
        'drift' as const,
        'drop' as const,
        'disown' as const,
        'hold' as const,
      ),
      name: fc.constantFrom(...NAMES, 'e'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('pods' as const),
      name: fc.constant('e'),
      pods: fc.constantFrom('none' as const, 'anonymous' as const, 'named' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'refuse' as const,
        'cut' as const,
        'compact' as const,
        'fail' as const,
        'lose' as const,
        'restart' as const,
      ),
    }),
  },
);
const story = fc.array(fc.record({ what: happening, pauseMs: fc.constantFrom(0, 1, 50, 2000) }), {
  minLength: 10,
  maxLength: 30,
});
const chances = fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true }));

/** What the record says is held, as `egress port: Service:service port`. */
function held(source: FakeCluster): string[] {
  return [...source.all<V1ConfigMap>('configmaps').values()]
    .flatMap(({ metadata, data }) => [...readShard(shardOfName(metadata?.name ?? '') ?? -1, data)])
    .flatMap(([port, entry]) => (isFreed(entry) ? [] : [`${port}: ${entry.mirror}:${entry.port}`]))
    .sort();
}

/** What stands on Services, in the same words. */
function onServices(source: FakeCluster): string[] {
  return [...source.all<V1Service>('services')]
    .flatMap(([key, { metadata }]) =>
      [EGRESS_PORTS, `${FEDERATED_EGRESS_PORTS_GROUP}/west`].flatMap((name) =>
        Object.entries(readEgressPorts(metadata?.annotations?.[name])).map(
          ([port, egressPort]) => `${egressPort}: ${key}:${port}`,
        ),
      ),
    )
    .sort();
}

async function play(
  events: readonly { readonly what: Happening; readonly pauseMs: number }[],
  random: () => number,
): Promise<{ held: string[]; onServices: string[]; services: string[]; calls: number }> {
  const world = new MirrorWorld(random, { relay: true });
  try {
    for (const { what, pauseMs } of events) {
      await world.happen(what);
      if (pauseMs > 0) await world.clock.advance(pauseMs);
    }
    await world.rest();
    await world.pass();
    const { source, calls } = world;
    return {
      held: held(source),
      onServices: onServices(source),
      services: [...source.all('services').keys()].sort(),
      calls,
    };
  } finally {
    await world.close();
  }
}

describe('egress ports that are held', () => {
  // Facts were gathered by claiming: who looked at a Service that is never mirrored, or unexported one, used
  // the ports up.
  it('are those that stand on Services, whatever was looked at, made, refused or taken away', async () => {
    let most = 0;
    await fc.assert(
      fc.asyncProperty(story, chances, async (events, stream) => {
        const end = await play(events, () => stream.next().value as number);
        expect(end.held).to.deep.equal(end.onServices);
        most = Math.max(most, end.held.length);
      }),
      { numRuns: RUNS },
    );
    expect(most, 'some held ports').to.be.greaterThan(1);
  });

  // `linkspan explain` in a loop, and the admin port of a replica that everybody may ask.
  it('and everything else are the same as if nobody had looked', async () => {
    const calm = story.map((events) =>
      events.filter(({ what }) => !['fail', 'lose', 'refuse'].includes(what.kind)),
    );
    await fc.assert(
      fc.asyncProperty(calm, async (events) => {
        const looked = await play(events, () => 0);
        // Time goes on where somebody looked.
        const blind = events.map((event) =>
          event.what.kind === 'look' ? { ...event, what: { kind: 'none' as const } } : event,
        );
        expect(looked).to.deep.equal(await play(blind as typeof events, () => 0));
      }),
      { numRuns: Math.ceil(RUNS / 2) },
    );
  });

  // The namespace of a preview is deleted here, and exported over there for months.
  it('are given back with the namespace of the mirror, and claimed again with it', async () => {
    const world = new MirrorWorld(() => 0, { relay: true });
    try {
      await world.happen({ kind: 'export', name: 'a', port: 80, ready: true });
      await world.rest();
      const before = held(world.source);
      expect(before).to.have.length(1);
      world.source.remove('namespaces', '', 'demo');
      world.source.remove('services', 'demo', 'a-west');
      await world.rest();
      expect(held(world.source)).to.deep.equal([]);
      world.source.put('namespaces', { metadata: { name: 'demo', uid: 'again' } });
      await world.rest();
      expect(held(world.source)).to.deep.equal(before);
      expect(onServices(world.source)).to.deep.equal(before);
    } finally {
      await world.close();
    }
  });
});
