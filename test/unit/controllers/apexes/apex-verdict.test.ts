import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import {
  type ApexFacts,
  apexVerdict,
  MAX_APEX_PORTS,
} from '../../../../src/controllers/apexes/apex-verdict.ts';

const service = (spec: object = {}, metadata: object = {}): V1Service => ({
  metadata: { name: 'checkout', namespace: 'shop', ...metadata },
  spec: { clusterIP: '10.0.0.1', ports: [{ port: 80 }], ...spec },
});
const slice = (name: string, managedBy: string): V1EndpointSlice => ({
  metadata: { name, namespace: 'shop', labels: { 'endpointslice.kubernetes.io/managed-by': managedBy } },
  addressType: 'IPv4',
  endpoints: [],
});
const facts = (change: Partial<ApexFacts> = {}): ApexFacts => ({
  namespace: 'shop',
  name: 'checkout',
  service: service(),
  slices: [],
  ports: [80],
  isForPlainClients: true,
  isComplete: true,
  isSubject: true,
  hasFederated: false,
  kept: { namespace: 0, all: 0 },
  own: [],
  ...change,
});
const told = (change: Partial<ApexFacts>) => {
  const verdict = apexVerdict(facts(change));
  return verdict.action === 'refuse' ? `${verdict.reason}: ${verdict.message}` : verdict.action;
};

describe('what becomes of a Service about which routes, a split or tiers say something', () => {
  it('leads elsewhere without a selector, on the ports that they are about', () => {
    const one = service();
    expect(apexVerdict(facts({ service: one }))).to.deep.equal({ action: 'lead', service: one, ports: [80] });
    expect(told({ slices: [slice('checkout-linkspan-ipv4', 'linkspan.dev')] })).to.equal('lead');
  });

  // What is taken back on the word of a watch that has not read everything would cut clients off.
  it('is left as it is until everything is known', () => {
    expect(told({ service: 'unknown' })).to.equal('wait');
    expect(told({ ports: [], isComplete: false })).to.equal('wait');
    expect(told({ ports: [] })).to.equal('release');
    expect(told({ service: undefined, isComplete: false })).to.equal('release');
  });

  it('is never touched where mirroring made it', () => {
    const labels = { 'mirror.linkerd.io/mirrored-service': 'true' };
    expect(told({ service: service({}, { labels }) })).to.equal('ignore');
  });

  // Routes of a federated Service were ignored without a word.
  it('is followed where it is federated, for as long as something may be written about it', () => {
    const labels = { 'mirror.linkerd.io/mirrored-service': 'true' };
    const annotations = { 'multicluster.linkerd.io/remote-discovery': 'web@west' };
    const federated = { service: service({}, { name: 'web-federated', labels, annotations }) };
    expect(told(federated)).to.equal('follow');
    expect(told({ ...federated, isSubject: false })).to.equal('ignore');
    expect(told({ ...federated, isSubject: false, isComplete: false })).to.equal('follow');
  });

  it('serves its own pods with a selector, which is told to those who expected else', () => {
    const own = { service: service({ selector: { app: 'checkout' } }) };
    expect(told({ ...own, isForPlainClients: false })).to.equal('release');
    // The condition was taken away and written again at each start, while splits and routes were being read.
    const unread = { ...own, isForPlainClients: false, isComplete: false };
    expect(told(unread)).to.equal('wait');
    expect(told({ ...unread, slices: [slice('ours', 'linkspan.dev')] })).to.equal('release');
    expect(told(own)).to.match(/^ApexHasSelector: .*a Service without selector can/);
    expect(told({ ...own, hasFederated: true })).to.match(/^ApexHasSelector: .*checkout-federated/);
  });

  it('is left to whoever else writes its endpoints', () => {
    for (const maker of ['endpointslicemirroring-controller.k8s.io', 'somebody', ''])
      expect(told({ slices: [slice('by-hand', maker)] })).to.match(/^ApexHasEndpoints: .*by-hand/);
  });

  it('is refused where its clients would not come to the egress', () => {
    expect(told({ service: service({ clusterIP: 'None' }) })).to.match(/^ApexUnsuitable: it is headless/);
    expect(told({ service: service({ type: 'ExternalName', externalName: 'x' }) })).to.match(
      /^ApexUnsuitable/,
    );
  });

  // A tenant who may make Services must not take the ports of all others.
  it('is refused where its namespace or the cluster holds as many ports as it may', () => {
    const { namespace, all } = MAX_APEX_PORTS;
    expect(told({ kept: { namespace: namespace - 1, all: 0 } })).to.equal('lead');
    expect(told({ kept: { namespace, all: 0 } })).to.match(/^TooManyApexes: the namespace shop/);
    expect(told({ kept: { namespace: 0, all } })).to.match(/^TooManyApexes: Services of this cluster/);
  });

  // A port more took all the others from their clients.
  it('goes on leading ports that it has, and those that there is room for', () => {
    const { namespace } = MAX_APEX_PORTS;
    const kept = { namespace: namespace - 3, all: namespace };
    const verdict = apexVerdict(facts({ ports: [80, 81, 82, 83], own: [81, 8080], kept }));
    expect(verdict).to.deep.include({ action: 'lead', ports: [80, 81] });
    expect((verdict as { short?: object }).short).to.deep.include({ reason: 'TooManyApexes' });
    expect(told({ ports: [80], own: [80], kept: { namespace: namespace * 2, all: 0 } })).to.equal('lead');
  });
});
