import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { Departures } from '../../../../src/controllers/federated/departures.ts';
import { MirrorWorld } from '../../../support/mirror-world.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const SERVICE = 'demo/web-federated';

/** `web` of the target and of another cluster, as one Service. */
async function worldWith(flags: { flat?: boolean }, others: string): Promise<MirrorWorld> {
  const world = new MirrorWorld(() => 0, flags);
  world.member('web', 2);
  await world.clock.advance(1000);
  const now = world.source.all<V1Service>('services').get(SERVICE);
  const annotations = {
    ...now?.metadata?.annotations,
    'multicluster.linkerd.io/remote-discovery': `web@west${others}`,
    'members.linkspan.dev/north': 'links/north',
  };
  world.source.put('services', { ...now, metadata: { ...now?.metadata, annotations } } as V1Service);
  await world.clock.advance(1000);
  return world;
}

// With Linkerd, or where pods are reached directly, a lost cluster stayed in its federated Services for ever:
// a third of all requests went to pods that nobody could reach.
describe('a member whose cluster is lost, without an egress in between', () => {
  let world: MirrorWorld;
  afterEach(() => world.close());

  const members = () =>
    world.source.all<V1Service>('services').get(SERVICE)?.metadata?.annotations?.[
      'multicluster.linkerd.io/remote-discovery'
    ];

  it('leaves when both witnesses have said so for the delay, and comes back likewise', async () => {
    world = await worldWith({}, ',web@north');
    world.gateway = 'dead';
    await world.clock.advance(20_000);
    world.apiLost = true;
    await world.clock.advance(29_000);
    expect(members()).to.equal('web@west,web@north');
    await world.clock.advance(2000);
    expect(members()).to.equal('web@north');
    expect(world.memberOutcomes.get('demo/web')?.reason).to.equal('ClusterLost');
    world.apiLost = false;
    await world.clock.advance(100_000);
    world.gateway = 'alive';
    await world.clock.advance(29_000);
    expect(members()).to.equal('web@north');
    await world.clock.advance(2000);
    expect(members()).to.equal('web@north,web@west');
    expect(world.memberOutcomes.get('demo/web')?.reason).to.equal('Mirrored');
  });

  // Somebody sets the clock, or NTP does: an hour of what nobody has seen is no delay that was kept.
  it('goes by the time that has passed, whatever somebody does to the clock', async () => {
    for (const stepMs of [3_600_000, -3_600_000]) {
      world = await worldWith({}, ',web@north');
      world.gateway = 'dead';
      world.apiLost = true;
      await world.clock.advance(10_000);
      world.clock.step(stepMs);
      world.gateway = 'dead';
      await world.clock.advance(19_000);
      expect(members(), 'not before the delay').to.equal('web@west,web@north');
      await world.clock.advance(2000);
      expect(members(), 'and then at once').to.equal('web@north');
      world.apiLost = false;
      world.gateway = 'alive';
      await world.clock.advance(10_000);
      world.clock.step(stepMs);
      world.gateway = 'alive';
      await world.clock.advance(19_000);
      expect(members(), 'not back before the delay').to.equal('web@north');
      await world.clock.advance(2000);
      expect(members(), 'and then back at once').to.equal('web@north,web@west');
      await world.close();
    }
  });

  it('stays whatever one of them says, and when both change their minds in time', async () => {
    world = await worldWith({}, ',web@north');
    world.gateway = 'dead';
    await world.clock.advance(600_000);
    world.gateway = 'alive';
    world.apiLost = true;
    await world.clock.advance(600_000);
    world.gateway = 'dead';
    await world.clock.advance(25_000);
    world.gateway = 'alive';
    await world.clock.advance(1000);
    world.gateway = 'dead';
    await world.clock.advance(25_000);
    expect(members()).to.equal('web@west,web@north');
  });

  it('stays as the last one, and comes back at once when it is the last hope', async () => {
    world = await worldWith({}, ',web@north');
    world.gateway = 'dead';
    world.apiLost = true;
    await world.clock.advance(31_000);
    expect(members()).to.equal('web@north');
    const now = world.source.all<V1Service>('services').get(SERVICE);
    const { 'multicluster.linkerd.io/remote-discovery': _, ...annotations } =
      now?.metadata?.annotations ?? {};
    world.source.put('services', {
      ...now,
      metadata: {
        ...now?.metadata,
        annotations: { ...annotations, 'multicluster.linkerd.io/remote-discovery': '' },
      },
    } as V1Service);
    await world.clock.advance(1000);
    expect(members()).to.equal('web@west');
    await world.clock.advance(600_000);
    expect(members()).to.equal('web@west');
  });

  it('loses its slices where they hold pods, unless no other has a ready one', async () => {
    world = await worldWith({ flat: true }, ',web@north');
    const addresses = () =>
      [...world.source.all<V1EndpointSlice>('endpointslices').values()]
        .filter(({ metadata }) => metadata?.labels?.['mirror.linkerd.io/cluster-name'] === 'west')
        .flatMap(({ endpoints }) => endpoints ?? [])
        .flatMap((one) => one.addresses);
    world.gateway = 'dead';
    world.apiLost = true;
    await world.clock.advance(60_000);
    expect(addresses()).to.deep.equal(['10.9.0.1', '10.9.0.2']);
    world.source.put('endpointslices', {
      metadata: {
        name: 'web-federated-north-linkspan-1',
        namespace: 'demo',
        uid: 'north',
        labels: {
          'mirror.linkerd.io/mirrored-service': 'true',
          'mirror.linkerd.io/cluster-name': 'north',
          'kubernetes.io/service-name': 'web-federated',
        },
      },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.8.0.1'], conditions: { ready: true } }],
    } as V1EndpointSlice);
    await world.clock.advance(1000);
    expect(addresses()).to.deep.equal([]);
    expect(members(), 'who is a member stays').to.equal('web@west,web@north');
    world.gateway = 'alive';
    world.apiLost = false;
    await world.clock.advance(31_000);
    expect(addresses()).to.deep.equal(['10.9.0.1', '10.9.0.2']);
  });
});

describe('when a member departs', () => {
  it('follows the delay of its own Service', () => {
    const clock = new VirtualClock(100_000);
    const departures = new Departures({ lostSince: 90_000, backSince: undefined }, clock);
    const look = (key: string, delayMs: number) => departures.look({ key, delayMs, hasOthers: true });
    expect(look('demo/a', 10_000)).to.deep.equal({ gone: true, waitMs: undefined });
    expect(look('demo/b', 15_000)).to.deep.equal({ gone: false, waitMs: 5000 });
  });
});
