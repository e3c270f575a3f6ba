import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { type FailoverFacts, readFacts } from '../../../../src/api/failover/failover-facts.ts';
import { FAILOVER_FACTS } from '../../../../src/api/failover/failover-names.ts';
import { MirrorWorld } from '../../../support/mirror-world.ts';

const SLICE = 'demo/web-federated-west-linkspan-ipv4';

// Whoever divides requests among clusters knew nothing of them: neither how many endpoints each has, nor how
// often it was withdrawn, so that a controller that started anew would have forgotten it.
describe('facts of a member of a federated Service', () => {
  let world: MirrorWorld;
  let writes: number;

  beforeEach(() => {
    world = new MirrorWorld(() => 0, { relay: true });
    writes = 0;
    world.source.beforeCall = (verb, plural) => {
      if (verb !== 'get' && plural === 'endpointslices') writes++;
    };
  });
  afterEach(() => world.close());

  const slice = () => world.source.all<V1EndpointSlice>('endpointslices').get(SLICE);
  const facts = (): Partial<FailoverFacts> =>
    readFacts(slice()?.metadata?.annotations?.[FAILOVER_FACTS]) ?? {};
  const start = async () => {
    world.member('web', 10);
    await world.clock.advance(1000);
  };

  it('stand on its slice from the first write on, and a quiet cluster writes nothing', async () => {
    await start();
    expect(facts()).to.include({ path: 'alive', ready: 10, known: 10, expected: 10, flaps: 0 });
    expect(writes).to.equal(1);
    await world.clock.advance(3_600_000);
    expect(writes).to.equal(1);
  });

  it('are none while no probe has come to an end', async () => {
    world.gateway = 'unknown';
    await start();
    expect(facts()).to.deep.equal({});
    world.gateway = 'alive';
    await world.clock.advance(100);
    expect(facts()).to.include({ path: 'alive', ready: 10 });
    world.gateway = 'unknown';
    await world.clock.advance(6000);
    expect(facts()).to.include({ path: 'alive', ready: 10 });
  });

  it('are written at once when the path dies, in one write with the endpoints', async () => {
    await start();
    world.gateway = 'dead';
    await world.clock.advance(100);
    expect(facts()).to.include({ path: 'dead', usableSince: null, flaps: 1, expected: 10 });
    expect(slice()?.endpoints).to.deep.equal([]);
    expect(writes).to.equal(2);
    const back = world.clock.now();
    world.gateway = 'alive';
    await world.clock.advance(100);
    expect(facts()).to.include({ path: 'alive', usableSince: back, flaps: 1 });
  });

  // When this cluster's own network failed, the endpoints of all members went, also where nobody was left.
  it('say that the path is dead while its death is doubted, and endpoints stay unless others have some', async () => {
    await start();
    world.gateway = 'doubted';
    await world.clock.advance(100);
    expect(facts()).to.include({ path: 'dead', usableSince: null, flaps: 1 });
    expect(slice()?.endpoints).to.have.length(1);
    world.source.put('endpointslices', {
      metadata: {
        name: 'web-federated.local-linkspan-1',
        namespace: 'demo',
        uid: 'local',
        labels: {
          'mirror.linkerd.io/mirrored-service': 'true',
          'mirror.linkerd.io/cluster-name': 'LOCAL',
          'kubernetes.io/service-name': 'web-federated',
        },
      },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.7.0.1'], conditions: { ready: true } }],
    } as V1EndpointSlice);
    await world.clock.advance(1000);
    expect(slice()?.endpoints).to.deep.equal([]);
    world.gateway = 'alive';
    await world.clock.advance(100);
    expect(slice()?.endpoints).to.have.length(1);
  });

  it('are written at once when a tenth is gone, and else every 5 s at most', async () => {
    world.member('web', 30);
    await world.clock.advance(10_000);
    world.member('web', 30, 29);
    await world.clock.advance(100);
    expect(facts()).to.include({ ready: 29 });
    const before = writes;
    for (const ready of [28, 29, 28, 29]) {
      world.member('web', 30, ready);
      await world.clock.advance(1000);
    }
    expect(writes).to.equal(before);
    await world.clock.advance(3000);
    world.member('web', 30, 28);
    await world.clock.advance(5100);
    expect(facts()).to.include({ ready: 28 });
    world.member('web', 30, 20);
    await world.clock.advance(100);
    expect(facts()).to.include({ ready: 20, known: 30, expected: 30 });
  });

  // Pods that were being terminated, for as long as they still served, kept the share of their cluster: what
  // they had in hand when they were killed was lost, while another cluster was whole.
  it('count nothing that is about to go, which serves only where nobody else can', async () => {
    await start();
    world.member('web', 10, 0, true);
    await world.clock.advance(100);
    expect(facts()).to.include({ path: 'alive', ready: 0, known: 10, expected: 10, usableSince: null });
    expect(slice()?.endpoints?.map(({ conditions }) => conditions?.ready)).to.deep.equal([true]);
    world.member('web', 10, 4, true);
    await world.clock.advance(100);
    expect(facts()).to.include({ ready: 4 });
  });

  it('outlive the controller: no withdrawal is forgotten, no ramp begins anew', async () => {
    await start();
    for (const path of ['dead', 'alive', 'dead', 'alive'] as const) {
      world.gateway = path;
      await world.clock.advance(6000);
    }
    const { usableSince, flaps } = facts();
    expect(flaps).to.equal(2);
    await world.happen({ kind: 'restart' });
    await world.clock.advance(20_000);
    expect(facts()).to.include({ usableSince, flaps, path: 'alive', ready: 10 });
    // Ten minutes of full use later they are forgotten, without anything else that happens.
    await world.clock.advance(60_000 + 60_000 + 600_000);
    expect(facts()).to.include({ usableSince, flaps: 0 });
  });

  it('are put right after somebody edits or removes them', async () => {
    await start();
    const edit = (annotations: Record<string, string>) => {
      const now = slice();
      world.source.put('endpointslices', {
        ...now,
        metadata: { ...now?.metadata, annotations },
      } as V1EndpointSlice);
      return world.clock.advance(6000);
    };
    await edit({ ...slice()?.metadata?.annotations, [FAILOVER_FACTS]: 'edited' });
    expect(facts()).to.include({ ready: 10 });
    await edit({});
    expect(facts()).to.include({ ready: 10 });
  });

  it("of a mirror by itself are nobody's business, and those of one with a policy are", async () => {
    await world.happen({ kind: 'export', name: 'a', port: 80, ready: true });
    await world.clock.advance(1000);
    const mirror = () => world.source.all<V1Service>('services').get('demo/a-west');
    const own = () => world.source.all<V1EndpointSlice>('endpointslices').get('demo/a-west-linkspan-ipv4');
    expect(own()?.metadata?.annotations?.[FAILOVER_FACTS]).to.equal(undefined);
    const now = mirror();
    const annotations = { ...now?.metadata?.annotations, 'failover.linkspan.dev/policy': 'min-healthy=50%' };
    world.source.put('services', { ...now, metadata: { ...now?.metadata, annotations } } as V1Service);
    await world.clock.advance(1000);
    expect(readFacts(own()?.metadata?.annotations?.[FAILOVER_FACTS])).to.include({ path: 'alive', ready: 1 });
    expect(mirror()?.metadata?.annotations).to.include({ 'failover.linkspan.dev/policy': 'min-healthy=50%' });
  });
});
