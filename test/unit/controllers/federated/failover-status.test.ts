import type { V1Condition, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { writeFacts } from '../../../../src/api/failover/failover-facts.ts';
import { FAILOVER_FACTS } from '../../../../src/api/failover/failover-names.ts';
import type { LinkObject } from '../../../../src/api/link/link-schema.ts';
import { linksFailover } from '../../../../src/discovery/failover-links.ts';
import { apiError } from '../../../support/fake-cluster.ts';
import { MirrorWorld } from '../../../support/mirror-world.ts';
import { HEALTHY } from '../../../support/group-objects.ts';

const SERVICE = 'demo/web-federated';

// A federated Service said nothing about who serves for whom, and nobody was told when that changed.
describe('the status of a federated Service', () => {
  let world: MirrorWorld;
  let writes: number;

  beforeEach(async () => {
    world = new MirrorWorld(() => 0, { relay: true });
    writes = 0;
    world.source.beforeCall = (verb) => {
      if (verb !== 'get') writes++;
    };
    world.member('web', 10);
    await world.clock.advance(1000);
    const now = service();
    const annotations = {
      ...now?.metadata?.annotations,
      'multicluster.linkerd.io/remote-discovery': 'web@west,web@north',
      'members.linkspan.dev/north': 'links/north',
      'failover.linkspan.dev/tiers': 'west; *',
    };
    world.source.put('services', { ...now, metadata: { ...now?.metadata, annotations } } as V1Service);
    north(10);
    await world.clock.advance(1000);
  });
  afterEach(() => world.close());

  const service = () => world.source.all<V1Service>('services').get(SERVICE);
  /** What the peer of another cluster publishes. */
  const north = (ready: number) => {
    const facts = { ...HEALTHY, ready };
    world.source.put('endpointslices', {
      metadata: {
        name: 'web-federated-north-linkspan-ipv4',
        namespace: 'demo',
        uid: 'north',
        labels: {
          'mirror.linkerd.io/mirrored-service': 'true',
          'mirror.linkerd.io/cluster-name': 'north',
          'kubernetes.io/service-name': 'web-federated',
        },
        annotations: { [FAILOVER_FACTS]: writeFacts(facts) },
      },
      addressType: 'IPv4',
      endpoints: [],
    } as V1EndpointSlice);
  };
  const condition = (type: string): V1Condition | undefined =>
    service()?.status?.conditions?.find((one) => one.type === `linkspan.dev/${type}`);
  const told = () => world.events.map(({ type, reason }) => `${type} ${reason}`);
  const shares = () =>
    Object.fromEntries(
      [...world.failover.entries].flatMap(({ decision }) =>
        decision.backends.map(({ backend, share }) => [backend.name, share]),
      ),
    );

  it('is there with three conditions, which a quiet cluster does not write again', async () => {
    expect(condition('FailoverReady')).to.include({ status: 'True' });
    expect(condition('FailoverActive')).to.include({ status: 'False' });
    expect(condition('CapacityShort')).to.include({ status: 'False' });
    expect(shares()).to.deep.equal({ west: 10_000, north: 0 });
    const before = writes;
    await world.clock.advance(3_600_000);
    expect(writes).to.equal(before);
    expect(told()).to.deep.equal([]);
  });

  it('is short of capacity while requests fail or wait, or nobody knows, and no longer', async () => {
    const hear = (failures: number) => {
      const now = world.clock.monotonic();
      const report = { service: SERVICE, requests: 100, failures, refused: 0, pending: 0 };
      world.demand.heard('pod', [report], now);
      world.demand.settle(now);
      return world.clock.advance(1000);
    };
    north(1);
    world.gateway = 'dead';
    await world.clock.advance(1000);
    expect(condition('CapacityShort')).to.include({ status: 'True', reason: 'CapacityShort' });
    await hear(0);
    await hear(0);
    expect(condition('CapacityShort')).to.include({ status: 'False', reason: 'DemandMet' });
    await hear(10);
    expect(condition('CapacityShort')).to.include({ status: 'True', reason: 'DemandUnmet' });
    for (let look = 0; look < 60; look++) {
      expect(condition('CapacityShort')?.status, String(look)).to.equal('True');
      await hear(10);
    }
    expect(condition('CapacityShort')).to.include({ status: 'False', reason: 'DemandMet' });
    expect(told().filter((one) => one.includes('CapacityShort'))).to.have.length(2);
  });

  // Each time that a controller was started it told of a shortage, and took it back 4 s later.
  it('keeps what was known of requests until pods had time to say something', async () => {
    north(1);
    const stated = { type: 'linkspan.dev/CapacityShort', status: 'False', reason: 'DemandMet', message: '' };
    const now = service();
    const others = now?.status?.conditions?.filter(({ type }) => type !== stated.type) ?? [];
    const conditions = [...others, { ...stated, lastTransitionTime: '2026-01-01T00:00:00Z' }];
    world.source.put('services', { ...now, status: { conditions } } as unknown as V1Service);
    world.gateway = 'dead';
    await world.clock.advance(1000);
    expect(condition('CapacityShort')).to.include({ status: 'False', reason: 'DemandMet' });
    world.demand.settle(world.clock.monotonic());
    await world.clock.advance(10_001);
    expect(condition('CapacityShort')).to.include({ status: 'False', reason: 'DemandMet' });
    world.demand.settle(world.clock.monotonic());
    await world.clock.advance(1000);
    expect(condition('CapacityShort')).to.include({ status: 'True', reason: 'CapacityShort' });
  });

  it('tells a failover, the hold, the ramp and the return, each once, and nothing in between', async () => {
    world.gateway = 'dead';
    await world.clock.advance(1000);
    expect(condition('FailoverActive')).to.include({ status: 'True', reason: 'PathDead' });
    expect(shares()).to.deep.equal({ west: 0, north: 10_000 });
    expect(told()).to.deep.equal(['Warning Failover']);
    const since = condition('FailoverActive')?.lastTransitionTime;
    await world.clock.advance(120_000);
    world.gateway = 'alive';
    await world.clock.advance(1000);
    expect(condition('FailoverActive')).to.include({ status: 'True', reason: 'FailBackHeld' });
    expect(condition('FailoverActive')?.lastTransitionTime).to.equal(since);
    expect(shares()).to.deep.equal({ west: 0, north: 10_000 });
    const before = writes;
    await world.clock.advance(60_000);
    expect(condition('FailoverActive')).to.include({ reason: 'FailBackRamp' });
    expect(shares()['west']).to.be.within(4500, 5500);
    expect(writes).to.equal(before + 1);
    await world.clock.advance(31_000);
    expect(condition('FailoverActive')).to.include({ status: 'False', reason: 'PrimaryServing' });
    expect(shares()).to.deep.equal({ west: 10_000, north: 0 });
    expect(told()).to.deep.equal(['Warning Failover', 'Normal FailBack']);
    expect(world.failover.transitions.get('PathDead')).to.equal(1);
  });

  it('tells a wrong key once, also over a restart, and what held before holds on', async () => {
    const now = service();
    const annotations = { ...now?.metadata?.annotations, 'failover.linkspan.dev/tiers': 'north; w?st' };
    world.source.put('services', { ...now, metadata: { ...now?.metadata, annotations } } as V1Service);
    await world.clock.advance(1000);
    expect(condition('FailoverReady')).to.include({ status: 'False', reason: 'AnnotationInvalid' });
    expect(condition('FailoverReady')?.message).to.contain('failover.linkspan.dev/tiers');
    expect(shares()).to.deep.equal({ west: 10_000, north: 0 });
    await world.happen({ kind: 'restart' });
    await world.clock.advance(60_000);
    expect(shares()).to.deep.equal({ west: 10_000, north: 0 });
    expect(told()).to.deep.equal(['Warning AnnotationInvalid']);
  });

  const annotate = (more: Record<string, string>) => {
    const now = service();
    const annotations = { ...now?.metadata?.annotations, ...more };
    world.source.put('services', { ...now, metadata: { ...now?.metadata, annotations } } as V1Service);
    return world.clock.advance(1000);
  };
  const drained = (change: object) =>
    JSON.stringify({
      to: 0,
      start: new Date(world.clock.now()).toISOString(),
      ramp: '1m',
      until: new Date(world.clock.now() + 600_000).toISOString(),
      ...change,
    });

  // A drain by hand with a slip in it took nothing away, and nobody said so.
  it('tells a wrong drain of its own, and of a Link, once, with the key and why', async () => {
    await annotate({ 'drain.linkspan.dev/west': drained({ until: undefined }) });
    expect(condition('FailoverReady')).to.include({ status: 'False', reason: 'AnnotationInvalid' });
    expect(condition('FailoverReady')?.message).to.match(/^drain\.linkspan\.dev\/west: "until" must be/);
    await world.clock.advance(60_000);
    expect(told()).to.deep.equal(['Warning AnnotationInvalid']);
    await annotate({ 'drain.linkspan.dev/west': drained({}) });
    expect(condition('FailoverReady')).to.include({ status: 'True' });
    const problems = linksFailover([
      {
        metadata: { name: 'west', annotations: { 'linkspan.dev/drain': drained({ ramp: 'slow' }) } },
        spec: { targetClusterName: 'west' },
      } as LinkObject,
    ]);
    world.said = problems;
    await annotate({ touched: 'yes' });
    expect(condition('FailoverReady')?.message).to.match(/^Link of west: linkspan\.dev\/drain: "ramp" must/);
  });

  it('tells a drain of somebody who is no member, as long as it would last', async () => {
    await annotate({ 'drain.linkspan.dev/wset': drained({}) });
    expect(condition('FailoverReady')?.message).to.equal(
      'drain.linkspan.dev/wset: no requests go there; it counts for nothing',
    );
    await world.clock.advance(600_000);
    expect(condition('FailoverReady')).to.include({ status: 'True' });
  });

  it("keeps others' conditions, and goes when there is nobody to fail over to", async () => {
    const other = { type: 'example.com/Ready', status: 'True', reason: 'Yes', message: '' };
    const now = service();
    const conditions = [...(now?.status?.conditions ?? []), other];
    world.source.put('services', { ...now, status: { ...now?.status, conditions } } as V1Service);
    world.gateway = 'dead';
    await world.clock.advance(1000);
    expect(service()?.status?.conditions).to.have.length(4);
    const { 'failover.linkspan.dev/tiers': _, ...rest } = service()?.metadata?.annotations ?? {};
    const annotations = { ...rest, 'multicluster.linkerd.io/remote-discovery': 'web@west' };
    world.source.put('services', {
      ...service(),
      metadata: { ...service()?.metadata, annotations },
    } as V1Service);
    await world.clock.advance(2000);
    expect(service()?.status?.conditions).to.deep.equal([other]);
    expect([...world.failover.entries]).to.deep.equal([]);
  });

  // Its shares and its state stayed in the metrics, and in memory, for as long as the replica ran.
  it('is told of no more in metrics when the Service is gone, or no longer ours', async () => {
    expect([...world.failover.entries].map((one) => one.service)).to.deep.equal([SERVICE]);
    const now = service();
    world.target.remove('services', 'demo', 'web');
    world.source.put('services', {
      ...now,
      metadata: {
        ...now?.metadata,
        annotations: {
          ...now?.metadata?.annotations,
          'multicluster.linkerd.io/remote-discovery': 'web@west',
        },
      },
    } as V1Service);
    await world.clock.advance(60_000);
    expect(service()).to.equal(undefined);
    expect([...world.failover.entries]).to.deep.equal([]);
  });

  // Without the right to write status every look at the Service ended as a failure, twice a minute for ever:
  // what follows a write did not happen, and its verdict was `Error` though all but the status was written.
  it('is left out where it may not be written, which is counted and told nobody as if it stood there', async () => {
    let tries = 0;
    world.source.beforeCall = (_, __, subresource) => {
      if (subresource !== 'status') return;
      tries++;
      throw apiError(403, 'Forbidden');
    };
    world.gateway = 'dead';
    await world.clock.advance(1000);
    expect(shares()).to.deep.equal({ west: 0, north: 10_000 });
    expect(condition('FailoverActive')).to.include({ status: 'False' });
    await world.clock.advance(600_000);
    expect(tries).to.be.within(1, 3);
    expect(world.failover.statusFailures).to.equal(tries);
    expect(told()).to.deep.equal([]);
    expect(world.memberOutcomes.get('demo/web')?.reason).to.equal('GatewayDead');
    world.source.beforeCall = () => undefined;
    world.gateway = 'alive';
    await world.clock.advance(1000);
    expect(condition('FailoverActive')).to.include({ status: 'True', reason: 'FailBackHeld' });
    expect(told()).to.deep.equal(['Warning Failover']);
  });
});
