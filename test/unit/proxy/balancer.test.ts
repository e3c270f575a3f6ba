import { expect } from 'chai';
import { Balancer } from '../../../src/proxy/balancer/balancer.ts';
import type { EndpointState } from '../../../src/proxy/balancer/endpoint.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const none: ReadonlySet<EndpointState> = new Set();
const at = (host: string, ready = true) => ({ host, port: 80, ready });

function balancer(...hosts: string[]) {
  const clock = new VirtualClock();
  const made = new Balancer({ clock, random: () => 0 });
  made.update(hosts.map((host) => at(host)));
  return { clock, made };
}

function pick(made: Balancer, tried = none): EndpointState {
  const picked = made.pick(tried);
  if ('none' in picked) throw new Error(picked.none);
  return picked.endpoint;
}

describe('balancer', () => {
  it('prefers the endpoint that answers faster, and feels a slow answer at once', () => {
    const { made } = balancer('a', 'b');
    const first = pick(made);
    first.begin();
    first.succeed(500);
    expect(pick(made).host).not.to.equal(first.host);
  });

  it('prefers the endpoint with less in hand', () => {
    const { made } = balancer('a', 'b');
    const first = pick(made);
    first.begin();
    expect(pick(made).host).not.to.equal(first.host);
  });

  it('leaves out an endpoint that cannot be connected to: a fast refusal must not look like the best latency', async () => {
    const { made, clock } = balancer('a', 'b');
    const dead = pick(made);
    dead.begin();
    dead.failConnect();
    for (let i = 0; i < 10; i++) expect(pick(made).host).not.to.equal(dead.host);
    await clock.advance(1600);
    expect(pick(made), 'after the penalty it is tried again').to.equal(dead);
    dead.begin();
    expect(pick(made), 'by one request only').not.to.equal(dead);
    dead.failConnect();
    await clock.advance(1600);
    expect(pick(made), 'a second failure doubles the penalty').not.to.equal(dead);
  });

  it('shuts an endpoint after seven failures in a row, and opens it with one success', async () => {
    const { made, clock } = balancer('a', 'b');
    const bad = pick(made);
    for (let i = 0; i < 7; i++) {
      bad.begin();
      bad.fail();
    }
    expect(bad.breaker).to.equal('shut');
    await clock.advance(1600);
    expect(bad.breaker).to.equal('probation');
    bad.begin();
    bad.succeed(5);
    expect(bad.breaker).to.equal('open');
  });

  it('tries the least bad when all are shut: failing by rule would turn a bad minute into an outage', () => {
    const { made } = balancer('a');
    const only = pick(made);
    only.begin();
    only.failConnect();
    expect(pick(made)).to.equal(only);
    expect(made.pick(new Set([only]))).to.deep.equal({ none: 'all tried' });
  });

  it('keeps what it knows of endpoints that stay', () => {
    const { made } = balancer('a', 'b');
    const first = pick(made);
    first.begin();
    made.update([at('a'), at('b'), at('c'), at('d', false)]);
    expect(made.counts).to.deep.equal({ ready: 3, known: 4 });
    expect([...made.endpoints].some((endpoint) => endpoint === first && endpoint.pending === 1)).to.equal(
      true,
    );
  });

  it('says when there is nothing to pick from', () => {
    expect(balancer().made.pick(none)).to.deep.equal({ none: 'no endpoints' });
  });
});
