import type { V1ConfigMap, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import fc from 'fast-check';
import { APEX_MEMBER, isFreed, readShard, shardOfName } from '../../../../src/api/egress/egress-record.ts';
import { MAX_APEX_PORTS } from '../../../../src/controllers/apexes/apex-verdict.ts';
import { ApexWorld } from '../../../support/apex-world.ts';

const RUNS = Number(process.env['LINKSPAN_PROPERTY_RUNS'] ?? 20);
/** So many ports that two of a namespace have no room beside each other. */
const MANY = MAX_APEX_PORTS.namespace - 2;
const KEYS = ['shop/a', 'shop/b', 'other/a'];

type Happening =
  | { readonly kind: 'service'; readonly key: string; readonly first: number; readonly ports: number }
  | { readonly kind: 'split'; readonly key: string; readonly backend: string }
  | {
      readonly kind: 'route';
      readonly key: string;
      readonly to: string;
      readonly granted: boolean;
    }
  | { readonly kind: 'mark' | 'select' | 'unsplit' | 'unroute' | 'delete'; readonly key: string }
  | { readonly kind: 'restart' | 'cut' | 'compact' | 'fail' };

const key = fc.constantFrom(...KEYS);
const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('service' as const),
      key,
      first: fc.integer({ min: 80, max: 82 }),
      ports: fc.constantFrom(1, 2, 3, MANY),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('split' as const),
      key,
      backend: fc.constantFrom('web', 'api'),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('route' as const),
      key,
      to: fc.constantFrom('shop', 'other'),
      granted: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'mark' as const,
        'select' as const,
        'unsplit' as const,
        'unroute' as const,
        'delete' as const,
      ),
      key,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('restart' as const, 'cut' as const, 'compact' as const, 'fail' as const),
    }),
  },
);
const story = fc.array(fc.record({ what: happening, pauseMs: fc.constantFrom(0, 1, 50, 2000) }), {
  minLength: 8,
  maxLength: 20,
});
const chances = fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true }));

const half = () =>
  fc.stream(
    (function* () {
      for (;;) yield 0.5;
    })(),
  );
const led: { what: Happening; pauseMs: number }[] = [
  { what: { kind: 'service', key: 'shop/a', first: 80, ports: 3 }, pauseMs: 50 },
  { what: { kind: 'split', key: 'shop/a', backend: 'web' }, pauseMs: 2000 },
];
/** Stories with both ends that there have to be, whatever is drawn: with so few, either may not come up. */
const ALWAYS: [events: typeof led, stream: fc.Stream<number>][] = [
  [led, half()],
  [[...led, { what: { kind: 'delete', key: 'shop/a' }, pauseMs: 2000 }], half()],
  // A watch that ended at once and was quiet then counted as broken: nothing was given back any more.
  [
    [
      { what: { kind: 'compact' }, pauseMs: 0 },
      { what: { kind: 'route', key: 'shop/a', to: 'shop', granted: false }, pauseMs: 50 },
      { what: { kind: 'split', key: 'shop/a', backend: 'web' }, pauseMs: 50 },
      { what: { kind: 'service', key: 'shop/a', first: 80, ports: 1 }, pauseMs: 50 },
      { what: { kind: 'select', key: 'shop/a' }, pauseMs: 0 },
    ],
    half(),
  ],
];

/** What the record says is held for users' Services, as `egress port: Service:service port`. */
function held({ cluster }: ApexWorld): string[] {
  return [...cluster.all<V1ConfigMap>('configmaps').values()]
    .flatMap(({ metadata, data }) => [...readShard(shardOfName(metadata?.name ?? '') ?? -1, data)])
    .flatMap(([port, entry]) =>
      isFreed(entry) || entry.member !== APEX_MEMBER ? [] : [`${port}: ${entry.mirror}:${entry.port}`],
    )
    .sort();
}

/** What their slices lead to, in the same words: a port of theirs is named after its number. */
function onServices({ cluster }: ApexWorld): string[] {
  const there = cluster.all<V1Service>('services');
  return [...cluster.all<V1EndpointSlice>('endpointslices').values()]
    .flatMap(({ metadata, ports }) => {
      const service = `${metadata?.namespace}/${metadata?.labels?.['kubernetes.io/service-name']}`;
      const of = there.has(service) ? service : `${service}, which is gone`;
      return (ports ?? []).map(({ name = '', port }) => `${port}: ${of}:${name.slice('p-'.length)}`);
    })
    .sort();
}

/** A route about a Service of its own, to one of this namespace or of another that may allow that. */
function route(
  { cluster }: ApexWorld,
  { key: of, to, granted }: Happening & { readonly kind: 'route' },
): void {
  const [namespace = '', name = ''] = of.split('/');
  const parentRefs = [{ group: '', kind: 'Service', name }];
  cluster.put('httproutes', {
    metadata: { name, namespace, uid: `route-${of}` },
    spec: { parentRefs, rules: [{ backendRefs: [{ name: 'api', namespace: to, port: 80 }] }] },
  } as never);
  cluster.remove('referencegrants', to, `of-${namespace}`);
  if (granted)
    cluster.put('referencegrants', {
      metadata: { name: `of-${namespace}`, namespace: to, uid: `grant-${namespace}-${to}` },
      spec: {
        from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace }],
        to: [{ group: '', kind: 'Service' }],
      },
    } as never);
}

async function happen(world: ApexWorld, what: Happening, random: () => number): Promise<void> {
  const { cluster } = world;
  const [namespace = '', name = ''] = 'key' in what ? what.key.split('/') : [];
  switch (what.kind) {
    case 'service':
      return world.service(what.key, what);
    case 'split':
      return world.split(what.key, what.backend);
    case 'route':
      return route(world, what);
    case 'mark':
      return world.service(what.key, {
        metadata: { labels: { 'mirror.linkerd.io/mirrored-service': 'true' } },
      });
    case 'select':
      return world.service(what.key, { spec: { selector: { app: name } } });
    case 'unsplit':
      return cluster.remove('trafficsplits', namespace, name);
    case 'unroute':
      return cluster.remove('httproutes', namespace, name);
    case 'delete':
      return cluster.remove('services', namespace, name);
    case 'restart':
      await world.stop();
      return world.start();
    case 'fail':
      cluster.beforeCall = () => {
        if (random() < 0.4) throw new Error('refused');
      };
      return;
    default:
      cluster.cutWatches();
      if (what.kind === 'compact') cluster.compact();
  }
}

async function play(
  events: readonly { readonly what: Happening; readonly pauseMs: number }[],
  random: () => number,
): Promise<{ readonly held: string[]; readonly onServices: string[] }> {
  const world = new ApexWorld();
  try {
    for (const backend of ['shop/web', 'shop/api', 'other/web', 'other/api']) world.service(backend);
    await world.start();
    for (const { what, pauseMs } of events) {
      await happen(world, what, random);
      if (pauseMs > 0) await world.clock.advance(pauseMs);
    }
    world.cluster.beforeCall = () => undefined;
    // Until every back-off is over, and what was given back may be had by others who wait for it.
    for (let round = 0; round < 6; round++) {
      await world.clock.advance(31_000);
      await world.rest(2);
    }
    return { held: held(world), onServices: onServices(world) };
  } finally {
    await world.stop();
  }
}

describe('egress ports that are held for Services that lead elsewhere', () => {
  it('are those that their slices lead to, whatever becomes of Services, splits and routes', async () => {
    let most = 0;
    let least = Infinity;
    await fc.assert(
      fc.asyncProperty(story, chances, async (events, stream) => {
        const end = await play(events, () => stream.next().value as number);
        expect(end.held).to.deep.equal(end.onServices);
        most = Math.max(most, end.held.length);
        least = Math.min(least, end.held.length);
      }),
      { numRuns: RUNS + ALWAYS.length, examples: ALWAYS },
    );
    expect(most, 'some held ports').to.be.greaterThan(1);
    expect(least, 'none, at another end').to.equal(0);
  });
});
