import { expect } from 'chai';
import { writeDrain } from '../../../src/api/failover/failover-drain.ts';
import type { LinkObject } from '../../../src/api/link/link-schema.ts';
import { FailoverLinks, linksFailover } from '../../../src/discovery/failover-links.ts';
import { IndexedStore } from '../../../src/kube/informer/store.ts';

const link = (
  name: string,
  annotations: Record<string, string>,
  { cluster = name, day = 1 }: { readonly cluster?: string; readonly day?: number } = {},
): LinkObject =>
  ({
    metadata: { name, namespace: 'links', annotations, creationTimestamp: new Date(Date.UTC(2026, 0, day)) },
    spec: { targetClusterName: cluster },
  }) as unknown as LinkObject;
const key = (name: string) => `failover.linkspan.dev/${name}`;

// Nothing read what people write about failover on Links.
describe('what Links say about failover', () => {
  it('is by cluster; a Link that says nothing is not in it', () => {
    const said = linksFailover([
      link('west', { [key('tier')]: '1', [key('weight')]: '2', [key('capacity-factor')]: '0.5' }),
      link('north', { other: 'x' }),
    ]);
    expect([...said.keys()]).to.deep.equal(['west']);
    expect(said.get('west')?.defaults).to.deep.equal({ tier: 1, weight: 2, factor: 0.5 });
  });

  it('leaves out what is wrong, and says so', () => {
    const said = linksFailover([link('west', { [key('tier')]: 'first', [key('weight')]: '2' })]).get('west');
    expect(said?.defaults).to.deep.equal({ weight: 2 });
    expect(said?.problems).to.have.length(1);
    expect(said?.problems[0]).to.contain('failover.linkspan.dev/tier');
  });

  it('has no drain and no drill that is wrong, and says which key and why', () => {
    const annotations = { 'linkspan.dev/drain': '{"to":0}', 'linkspan.dev/drill': '{"kind":"harm"}' };
    const said = linksFailover([link('west', annotations)]).get('west');
    expect(said?.drains).to.deep.equal([]);
    expect(said?.problems).to.deep.equal([
      'linkspan.dev/drain: "start" must be a time such as "2026-11-29T16:00:00Z"; it counts for nothing',
      'linkspan.dev/drill: "kind" must be one of fail, endpoints; it counts for nothing',
    ]);
  });

  it('is that of the oldest of several Links of one cluster', () => {
    const said = linksFailover([
      link('b', { [key('tier')]: '2' }, { cluster: 'west', day: 2 }),
      link('a', { [key('tier')]: '1' }, { cluster: 'west', day: 1 }),
    ]);
    expect(said.get('west')?.defaults).to.deep.equal({ tier: 1 });
  });

  // A second Link of a cluster, which nothing is mirrored by, could drain it.
  it('is nothing where the oldest of them says nothing', () => {
    const said = linksFailover([
      link('b', { [key('weight')]: '0' }, { cluster: 'west', day: 2 }),
      link('a', {}, { cluster: 'west', day: 1 }),
    ]);
    expect(said.get('west')).to.equal(undefined);
  });

  // The order in which they were read decided: replicas and egress pods gave different shares.
  it('is that of the first by name of those of one age, in whatever order they are read', () => {
    const [a, b] = ['a', 'b'].map((name, at) =>
      link(name, { [key('tier')]: String(at) }, { cluster: 'west' }),
    );
    if (a === undefined || b === undefined) throw new Error('there are two');
    expect(linksFailover([a, b])).to.deep.equal(linksFailover([b, a]));
    expect(linksFailover([b, a]).get('west')?.defaults).to.deep.equal({ tier: 0 });
  });

  it('is a drain that somebody wants here, and one that its gateway asks for', () => {
    const drain = { to: 0, start: 0, rampMs: 0, until: 1000, drill: false };
    const here = link('west', { 'linkspan.dev/drain': writeDrain(drain) });
    const there = { ...here, status: { gatewayDrain: writeDrain({ ...drain, to: 0.5 }) } };
    expect(linksFailover([here]).get('west')?.drains).to.deep.equal([drain]);
    expect(linksFailover([there]).get('west')?.drains).to.deep.equal([drain, { ...drain, to: 0.5 }]);
    const over = { ...link('west', {}), status: { gatewayDrain: '' } };
    expect(linksFailover([over]).size).to.equal(0);
  });

  it('is news when it changes, and not when the status of a Link does', () => {
    const store = new IndexedStore<LinkObject>();
    const links = new FailoverLinks(store);
    let told = 0;
    links.follow(() => told++);
    store.set(link('west', { [key('tier')]: '1' }));
    store.set({ ...link('west', { [key('tier')]: '1' }), status: {} });
    expect(told).to.equal(1);
    store.set(link('west', {}));
    expect(told).to.equal(2);
    expect(links.said.size).to.equal(0);
  });
});
