import { expect } from 'chai';
import { ProxyFailure } from '../../../../src/proxy/http/failures.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { Balancer } from '../../../../src/proxy/upstream/balancer/balancer.ts';
import type { EndpointState, PickedEndpoint } from '../../../../src/proxy/upstream/balancer/endpoint.ts';
import { EndpointProofs } from '../../../../src/proxy/upstream/endpoint-proofs.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

describe('an endpoint that is proven in the background', () => {
  let clock: VirtualClock;
  let counters: ProxyCounters;
  let endpoint: EndpointState;
  let outcomes: PromiseWithResolvers<void>[];
  let proofs: EndpointProofs;

  beforeEach(() => {
    clock = new VirtualClock();
    counters = new ProxyCounters();
    const balancer = new Balancer({ clock, random: () => 0 });
    balancer.update([{ host: '10.0.0.1', port: 1, ready: true }]);
    const [only] = balancer.endpoints;
    if (only === undefined) throw new Error('the balancer has no endpoint');
    endpoint = only;
    outcomes = [];
    const prove = async (picked: PickedEndpoint): Promise<void> => {
      const outcome = Promise.withResolvers<void>();
      outcomes.push(outcome);
      await outcome.promise;
      picked.connected();
    };
    proofs = new EndpointProofs({ prove }, counters);
  });

  it('is connected to once at a time, and again when that is over', async () => {
    proofs.begin(endpoint);
    proofs.begin(endpoint);
    expect([outcomes.length, endpoint.pending]).to.deep.equal([1, 1]);
    outcomes[0]?.resolve();
    await settle();
    expect([endpoint.breaker, endpoint.pending]).to.deep.equal(['open', 0]);
    proofs.begin(endpoint);
    expect(outcomes.length).to.equal(2);
  });

  it('is not used where that fails, and opens when it succeeds', async () => {
    proofs.begin(endpoint);
    outcomes[0]?.reject(new ProxyFailure('connection failed', 'nobody there'));
    await settle();
    expect([endpoint.breaker, endpoint.refused, endpoint.pending]).to.deep.equal(['ejected', true, 0]);
    await clock.advance(2000);
    proofs.begin(endpoint);
    outcomes[1]?.resolve();
    await settle();
    expect([endpoint.breaker, endpoint.pending]).to.deep.equal(['open', 0]);
  });

  it('is not blamed for a mistake of ours, which is counted', async () => {
    proofs.begin(endpoint);
    outcomes[0]?.reject(new TypeError('a mistake nobody foresaw'));
    await settle();
    expect([endpoint.breaker, endpoint.pending]).to.deep.equal(['open', 0]);
    expect(counters.internalErrors).to.equal(1);
    proofs.begin(endpoint);
    expect(outcomes.length).to.equal(2);
  });
});
