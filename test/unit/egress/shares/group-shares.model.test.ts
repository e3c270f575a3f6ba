import { expect } from 'chai';
import fc from 'fast-check';
import type { FailoverFacts } from '../../../../src/api/failover/failover-facts.ts';
import { drawsOf } from '../../../../src/egress/shares/division.ts';
import { GroupShares } from '../../../../src/egress/shares/group-shares.ts';
import { TargetGroup } from '../../../../src/proxy/group/target-group.ts';
import { IDEMPOTENT } from '../../../../src/proxy/http/messages.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { type Came, type Deed, FakeTarget, request } from '../../../support/fake-target.ts';
import { factsSlice, groupObjects, GroupStores } from '../../../support/group-objects.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const WEB = 'demo/web-federated';
const CLUSTERS = ['west', 'north', 'south'] as const;
type Cluster = (typeof CLUSTERS)[number];

/** What may happen. Facts may say what is, or lag behind, or be wrong. */
type Step =
  | { readonly do: 'kill'; readonly cluster: Cluster }
  | { readonly do: 'revive'; readonly cluster: Cluster }
  | { readonly do: 'empty'; readonly cluster: Cluster }
  | { readonly do: 'say'; readonly cluster: Cluster; readonly usable: boolean; readonly flaps: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'ask'; readonly method: string; readonly times: number };

const cluster = fc.constantFrom(...CLUSTERS);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('kill' as const), cluster }),
  fc.record({ do: fc.constant('revive' as const), cluster }),
  fc.record({ do: fc.constant('empty' as const), cluster }),
  fc.record({ do: fc.constant('say' as const), cluster, usable: fc.boolean(), flaps: fc.nat(3) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(10, 300, 6000, 45_000) }),
  fc.record({
    do: fc.constant('ask' as const),
    method: fc.constantFrom('GET', 'PUT', 'POST'),
    times: fc.integer({ min: 1, max: 4 }),
  }),
);
const anyTiers = fc.constantFrom(undefined, 'west; north; south', 'west=9, north=1; *');

/** Longer than a cluster is left out for having said that it has no endpoint. */
const REST_OVER_MS = 6000;

/** A cluster as it is, whatever is said of it. */
class ModelTarget extends FakeTarget {
  /** Since when it serves; undefined: it does not. */
  servesSince: number | undefined = 0;
  /** It is gone, and the egress has not tried it since. */
  isUnseen = false;
  /** Requests that were sent to it. */
  sent = 0;

  override prove(): void {
    super.prove();
    if (this.servesSince !== undefined) this.standing = 'open';
  }

  become(deed: Deed, now: number): void {
    this.deeds.splice(0, this.deeds.length, deed);
    if (deed === 'serves') {
      this.servesSince ??= now;
      if (this.standing !== 'open') this.standing = 'unproven';
    } else {
      this.servesSince = undefined;
    }
    this.isUnseen = deed === 'lost';
  }

  override open(...args: Parameters<FakeTarget['open']>): ReturnType<FakeTarget['open']> {
    this.sent++;
    const opened = super.open(...args);
    // The request in hand is lost; then nobody can connect.
    if (this.isUnseen) {
      this.isUnseen = false;
      this.deeds.splice(0, 1, 'cannot be reached');
    }
    if (this.deeds[0] === 'cannot be reached') this.standing = 'closed';
    return opened;
  }
}

/** One run: the group as the egress has it, before clusters that do as the model says. */
class Run {
  readonly clock = new VirtualClock();
  readonly stores = new GroupStores();
  readonly shares = new GroupShares({ ...this.stores, clock: this.clock });
  readonly came: Came[] = [];
  readonly targets = new Map(CLUSTERS.map((name) => [name, new ModelTarget(name, this.came, ['serves'])]));
  readonly group: TargetGroup;
  /** Clusters that cannot be used, by the facts that have come. */
  readonly withdrawn = new Set<Cluster>();
  readonly #random: () => number;

  constructor(tiers: string | undefined, seed: number) {
    let state = seed;
    // A linear congruential generator, so that a run can be repeated.
    this.#random = () => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
    const members = { west: {}, north: {}, south: {} };
    this.stores.put(groupObjects({ members, ...(tiers === undefined ? {} : { tiers }) }));
    const { clock } = this;
    this.group = new TargetGroup(WEB, { clock, random: this.#random, counters: new ProxyCounters() });
    this.group.update([...this.targets].map(([name, target]) => ({ name, target })));
    this.shares.watch(WEB, this);
    this.sharesChanged();
  }

  sharesChanged(): void {
    const { draws, refused } = drawsOf(this.shares.of(WEB), CLUSTERS);
    this.group.divide(draws, refused);
  }

  target(name: Cluster): ModelTarget {
    const found = this.targets.get(name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  }

  async step(step: Step): Promise<void> {
    const now = this.clock.monotonic();
    if (step.do === 'kill') this.target(step.cluster).become('lost', now);
    else if (step.do === 'empty') this.target(step.cluster).become('has none', now);
    else if (step.do === 'revive') this.target(step.cluster).become('serves', now);
    else if (step.do === 'wait') await this.clock.advance(step.ms);
    else if (step.do === 'say') await this.#say(step);
    else for (let count = 0; count < step.times; count++) await this.#ask(step.method);
  }

  async #say({ cluster: name, usable, flaps }: Extract<Step, { do: 'say' }>): Promise<void> {
    const facts: Partial<FailoverFacts> = usable
      ? { usableSince: this.clock.now(), flaps }
      : { path: 'dead', usableSince: null, flaps: flaps + 1 };
    this.stores.slices.set(factsSlice('web', name, { facts }));
    if (usable) this.withdrawn.delete(name);
    else this.withdrawn.add(name);
    await settle();
  }

  async #ask(method: string): Promise<void> {
    const now = this.clock.monotonic();
    const answering = CLUSTERS.filter((name) => {
      const { servesSince, standing } = this.target(name);
      return servesSince !== undefined && now - servesSince >= REST_OVER_MS && standing === 'open';
    });
    const unseen = CLUSTERS.filter((name) => this.target(name).isUnseen).length;
    const before = new Map(CLUSTERS.map((name) => [name, this.target(name).sent]));
    this.came.length = 0;
    const { answers, failures } = await this.#outcome(method);

    expect(answers.length + failures.length, 'it ends once').to.equal(1);
    if (!IDEMPOTENT.has(method)) expect(this.came.length, 'it is read once').to.be.at.most(1);
    if (answering.some((name) => !this.withdrawn.has(name)))
      for (const name of this.withdrawn)
        expect(this.target(name).sent, `nothing is sent to ${name}`).to.equal(before.get(name));
    const mayBeLost = IDEMPOTENT.has(method) ? unseen > 1 : unseen > 0;
    if (answering.length > 0 && !mayBeLost) expect(failures, 'it is served').to.deep.equal([]);
  }

  async #outcome(method: string): Promise<{ answers: number[]; failures: string[] }> {
    const told = { answers: [] as number[], failures: [] as string[] };
    const handler = {
      onInterimResponse: () => undefined,
      onResponse: ({ status }: { status: number }) => told.answers.push(status),
      onResponseBody: () => undefined,
      onResponseEnd: () => undefined,
      onRequestSent: () => undefined,
      onFailure: ({ message }: { message: string }) => told.failures.push(message),
    };
    this.group.openNow('http1', request(method), handler);
    for (let round = 0; round < 60 && told.answers.length + told.failures.length === 0; round++) {
      await settle(8);
      if (told.answers.length + told.failures.length === 0) await this.clock.advance(100);
    }
    return told;
  }
}

// The model test of the specification of failover (§5.12): clusters die, come back and lose their endpoints,
// and what is said of them comes sooner, later or is wrong.
describe('a group of clusters, against a model', () => {
  it('sends nothing to one whose facts withdraw it while another answers, and nothing twice that may do something', async function () {
    const steps = fc.array(anyStep, { minLength: 4, maxLength: 16 });
    await fc.assert(
      fc.asyncProperty(anyTiers, fc.nat(1_000_000), steps, async (tiers, seed, all) => {
        const run = new Run(tiers, seed);
        await run.clock.advance(REST_OVER_MS);
        for (const step of all) await run.step(step);
        run.shares.close();
      }),
      { numRuns: 150 },
    );
  });
});
