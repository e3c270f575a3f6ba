import { expect } from 'chai';
import * as fc from 'fast-check';
import { Balancer, type EndpointAddress } from '../../../../../src/proxy/upstream/balancer/balancer.ts';
import {
  type PickedEndpoint,
  DEFAULT_ACCRUAL,
  type EndpointState,
} from '../../../../../src/proxy/upstream/balancer/endpoint.ts';
import { VirtualClock } from '../../../../support/virtual-clock.ts';
import { seeded } from '../../../../support/seeded.ts';

const at = (host: string, ready = true) => ({ host, port: 80, ready });

function balancer(...hosts: string[]) {
  const clock = new VirtualClock();
  const made = new Balancer({ clock, random: () => 0 });
  made.update(hosts.map((host) => at(host)));
  return { clock, made };
}

function pick(made: Balancer, tried?: ReadonlySet<EndpointState>): EndpointState {
  const picked = made.pick(tried);
  if ('none' in picked) throw new Error(picked.none);
  return picked.endpoint;
}

function eject(endpoint: EndpointState): void {
  endpoint.begin().failConnect();
}

describe('balancer', () => {
  it('prefers the endpoint that answers faster, and feels a slow answer at once', () => {
    const { made } = balancer('a', 'b');
    const first = pick(made);
    first.begin().succeed(500);
    expect(pick(made).host).not.to.equal(first.host);
  });

  it('counts what is sent to an endpoint, and what fails there, where it is told to', () => {
    const counts = { requests: 0, failures: 0 };
    const countsOf = ({ host }: { readonly host: string }) => (host === 'a' ? counts : undefined);
    const made = new Balancer({ clock: new VirtualClock(), random: () => 0, countsOf });
    made.update([at('a'), at('b')]);
    for (const endpoint of made.endpoints) {
      endpoint.begin().succeed(5);
      endpoint.begin().fail();
      endpoint.begin().failConnect();
      endpoint.begin().abandon();
      // Another end of the same does not count.
      const attempt = endpoint.begin();
      attempt.fail();
      attempt.fail();
    }
    expect(counts).to.deep.equal({ requests: 5, failures: 3 });
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
    eject(dead);
    for (let i = 0; i < 10; i++) expect(pick(made).host).not.to.equal(dead.host);
    await clock.advance(1600);
    expect(pick(made), 'after the penalty it is tried again').to.equal(dead);
    const proof = dead.begin();
    expect(pick(made), 'by one request only').not.to.equal(dead);
    proof.failConnect();
    await clock.advance(1600);
    expect(pick(made), 'a second failure doubles the penalty').not.to.equal(dead);
  });

  it('shuts an endpoint after seven failures in a row, and opens it with one success', async () => {
    const { made, clock } = balancer('a', 'b');
    const bad = pick(made);
    for (let i = 0; i < 7; i++) bad.begin().fail();
    expect(bad.breaker).to.equal('ejected');
    await clock.advance(1600);
    expect(bad.breaker).to.equal('probation');
    bad.begin().succeed(5);
    expect(bad.breaker).to.equal('open');
  });

  it('lets a client that goes away during probation decide nothing: the next request does', async () => {
    const { made, clock } = balancer('a', 'b');
    const bad = pick(made);
    eject(bad);
    await clock.advance(1600);
    bad.begin().abandon();
    expect(pick(made)).to.equal(bad);
  });

  // With 50 requests in hand when an endpoint breaks, seven eject it; the other 43 said the same moment's
  // truth six times more, and a second became a minute.
  it('counts what was under way when an endpoint was ejected no second time, for or against it', () => {
    const { made, clock } = balancer('a', 'b');
    const bad = pick(made);
    const [late, ...attempts] = Array.from({ length: 50 }, () => bad.begin());
    for (const attempt of attempts) attempt.fail();
    const until = bad.ejectedUntil;
    expect(until - clock.monotonic()).to.be.at.most(1500);
    late?.succeed(5);
    expect(bad.breaker, 'an answer to what was asked before').to.equal('ejected');
    expect(bad.pending).to.equal(0);
  });

  it('does not punish an endpoint further for what is sent to it because all are ejected', () => {
    const { made } = balancer('a');
    const only = pick(made);
    eject(only);
    const until = only.ejectedUntil;
    for (let i = 0; i < 20; i++) eject(pick(made));
    expect(only.ejectedUntil).to.equal(until);
    pick(made).begin().succeed(3);
    expect(only.breaker, 'one good answer is enough').to.equal('open');
  });

  // A raw flow may last for days; an endpoint on probation must not be kept out for as long.
  it('opens an endpoint that refused connections as soon as it takes one', async () => {
    const { made, clock } = balancer('a', 'b');
    const refusing = pick(made);
    eject(refusing);
    await clock.advance(1600);
    const flow = refusing.begin();
    flow.connected();
    expect(refusing.breaker).to.equal('open');
    flow.abandon();
    for (let i = 0; i < 7; i++) refusing.begin().fail();
    await clock.advance(1600);
    const proof = refusing.begin();
    proof.connected();
    expect(refusing.breaker, 'ejected for its answers, though').to.equal('ejected');
    proof.accepted();
    expect([refusing.breaker, refusing.pending]).to.deep.equal(['open', 1]);
  });

  it('counts an attempt once, whatever is said of it afterwards', () => {
    const { made } = balancer('a');
    const only = pick(made);
    const attempt = only.begin();
    attempt.fail();
    attempt.abandon();
    attempt.succeed(1);
    expect([only.pending, made.pending]).to.deep.equal([0, 0]);
  });

  it('tries the least bad when all are ejected: failing by rule would turn a bad minute into an outage', () => {
    const { made } = balancer('a');
    const only = pick(made);
    eject(only);
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

  it('knows requests in hand at endpoints that are gone', () => {
    const { made } = balancer('a');
    const attempt = pick(made).begin();
    made.update([at('b')]);
    expect(made.pending).to.equal(1);
    attempt.fail();
    expect(made.pending).to.equal(0);
    expect(pick(made).host).to.equal('b');
  });

  it('applies changed accrual to endpoints that live on', () => {
    const { made, clock } = balancer('a', 'b');
    const bad = pick(made);
    bad.begin().fail();
    made.update([at('a'), at('b')], { ...DEFAULT_ACCRUAL, maxFailures: 2, minPenaltyMs: 60_000 });
    bad.begin().fail();
    expect(bad.ejectedUntil - clock.monotonic(), 'the second failure in a row, and a minute').to.be.at.least(
      60_000,
    );
  });

  it('takes an endpoint that is spoken to otherwise for another one', () => {
    const { made } = balancer('a');
    const plain = pick(made);
    made.update([{ ...at('a'), mesh: { identity: 'web.demo', port: 4143, opaque: false } }]);
    expect(pick(made)).not.to.equal(plain);
    expect(made.has(plain)).to.equal(false);
    expect(made.upgrading).to.equal(true);
  });

  it('says when there is nothing to pick from', () => {
    expect(balancer().made.pick()).to.deep.equal({ none: 'no endpoints' });
  });

  describe('with preferred endpoints', () => {
    const near = (host: string) => ({ ...at(host), preferred: true });
    function zoned() {
      const { made, clock } = balancer();
      made.update([at('far-1'), near('near-1'), near('near-2'), at('far-2')]);
      return { made, clock, hosts: () => Array.from({ length: 20 }, () => pick(made).host.split('-')[0]) };
    }

    it('uses only those', () => {
      const { made, hosts } = zoned();
      pick(made).begin();
      expect(new Set(hosts())).to.deep.equal(new Set(['near']));
    });

    it('uses the others while every preferred one is ejected, and comes back with the first that is due', async () => {
      const { made, clock, hosts } = zoned();
      eject(pick(made));
      eject(pick(made));
      expect(new Set(hosts())).to.deep.equal(new Set(['far']));
      await clock.advance(1600);
      expect(pick(made).host).to.match(/^near/);
    });

    // A preferred one that waits hid the others: the target was closed, and nobody tried them.
    it('knows which is due, be it preferred or not', async () => {
      const { made, clock } = balancer();
      made.update([near('a'), at('b')]);
      const [a, b] = [pick(made), pick(made, new Set([pick(made)]))];
      eject(b);
      await clock.advance(1500);
      eject(a);
      expect([a.host, a.breaker, b.host, b.breaker]).to.deep.equal(['a', 'ejected', 'b', 'probation']);
      expect(made.due()).to.equal(b);
    });

    it('uses the others when the preferred ones are gone, and for what those have refused', () => {
      const { made } = zoned();
      const tried = new Set([...made.endpoints].filter(({ host }) => host.startsWith('near')));
      expect(pick(made, tried).host).to.match(/^far/);
      made.update([at('far-1'), { ...near('near-1'), ready: false }]);
      expect(pick(made).host).to.equal('far-1');
    });
  });
});

type Step =
  | { readonly do: 'pick' }
  | { readonly do: 'end'; readonly how: number; readonly which: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'update'; readonly ready: readonly boolean[]; readonly preferred: readonly boolean[] };

const HOSTS = ['a', 'b', 'c', 'd', 'e'];
const flags = fc.array(fc.boolean(), { minLength: HOSTS.length, maxLength: HOSTS.length });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Step>({ do: 'pick' }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('end' as const), how: fc.nat(4), which: fc.nat(1000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 5000 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('update' as const), ready: flags, preferred: flags }),
  },
);

/** Plays a history, and checks after each pick what must hold whatever has happened before. */
class History {
  readonly clock = new VirtualClock();
  readonly balancer: Balancer;
  readonly running: { attempt: PickedEndpoint; endpoint: EndpointState }[] = [];
  addresses: EndpointAddress[] = HOSTS.map((host) => at(host));
  /** The request that proves an endpoint. */
  readonly proofs = new Map<EndpointState, PickedEndpoint>();

  constructor(seed: number) {
    this.balancer = new Balancer({ clock: this.clock, random: seeded(seed) });
    this.balancer.update(this.addresses, { ...DEFAULT_ACCRUAL, maxFailures: 2 });
  }

  async play(one: Step): Promise<void> {
    if (one.do === 'wait') await this.clock.advance(one.ms);
    else if (one.do === 'update') this.update(one);
    else if (one.do === 'end') this.end(one);
    else this.pick();
  }

  update({ ready, preferred }: Extract<Step, { do: 'update' }>): void {
    this.addresses = HOSTS.map((host, index) => ({
      ...at(host, ready[index] === true),
      preferred: preferred[index] === true,
    }));
    this.balancer.update(this.addresses, { ...DEFAULT_ACCRUAL, maxFailures: 2 });
  }

  end({ how, which }: Extract<Step, { do: 'end' }>): void {
    const [found] = this.running.splice(which % Math.max(1, this.running.length), 1);
    if (found === undefined) return;
    const { attempt, endpoint } = found;
    if (this.proofs.get(endpoint) === attempt) this.proofs.delete(endpoint);
    const ends = [
      () => attempt.succeed(10),
      () => attempt.fail(),
      () => attempt.fail(),
      () => attempt.failConnect(),
      () => attempt.abandon(),
    ];
    ends[how]?.();
  }

  pick(): void {
    const ready = this.addresses.filter((address) => address.ready);
    const before = new Map([...this.balancer.endpoints].map((one) => [one, one.breaker] as const));
    const picked = this.balancer.pick();
    if ('none' in picked) {
      expect(ready, 'nothing is picked only when nothing is ready').to.deep.equal([]);
      return;
    }
    const { endpoint } = picked;
    expect(
      ready.map(({ host }) => host),
      'only ready ones',
    ).to.include(endpoint.host);
    const states = [...before.values()];
    if (states.some((state) => state !== 'ejected'))
      expect(before.get(endpoint), 'an ejected one only when all are').not.to.equal('ejected');
    const attempt = endpoint.begin();
    this.running.push({ attempt, endpoint });
    if (before.get(endpoint) !== 'probation') return;
    expect(endpoint.probing).to.equal(true);
    expect(this.proofs.has(endpoint), 'one proof at a time').to.equal(false);
    this.proofs.set(endpoint, attempt);
  }
}

describe('balancer, whatever happens', () => {
  it('picks ready endpoints only, ejected ones only when all are, probes one at a time, and never refuses while one is ready', async () => {
    const property = fc.asyncProperty(fc.nat(), fc.array(step, { maxLength: 120 }), async (seed, history) => {
      const played = new History(seed);
      for (const one of history) await played.play(one);
      const { balancer: made, running } = played;
      expect(made.pending).to.equal(running.length);
      for (const endpoint of made.endpoints) expect(endpoint.pending).to.be.at.least(0);
    });
    await fc.assert(property, { numRuns: 300 });
  });

  it('spreads by load: an endpoint that takes four times as long gets a small share, equal ones an equal one', async () => {
    const property = fc.asyncProperty(fc.integer({ min: 1, max: 1_000_000 }), async (seed) => {
      const clock = new VirtualClock();
      const made = new Balancer({ clock, random: seeded(seed) });
      made.update(HOSTS.map((host) => at(host)));
      const shares = new Map<string, number>();
      for (let i = 0; i < 2000; i++) {
        const endpoint = pick(made);
        shares.set(endpoint.host, (shares.get(endpoint.host) ?? 0) + 1);
        endpoint.begin().succeed(endpoint.host === 'e' ? 40 : 10);
        if (i % 100 === 0) await clock.advance(10);
      }
      const { e: slow = 0, ...others } = Object.fromEntries(shares);
      expect(slow).to.be.at.most(200);
      for (const share of Object.values(others)) expect(share).to.be.within(200, 900);
    });
    await fc.assert(property, { numRuns: 20 });
  });
});
