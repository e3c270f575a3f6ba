import { expect } from 'chai';
import fc from 'fast-check';
import { TargetGroup } from '../../../../src/proxy/group/target-group.ts';
import { ProxyFailure } from '../../../../src/proxy/http/failures.ts';
import { IDEMPOTENT, type UpstreamHandler } from '../../../../src/proxy/http/messages.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { MAX_PENDING } from '../../../../src/proxy/upstream/target-options.ts';
import { type Came, type Deed, FakeTarget, request } from '../../../support/fake-target.ts';
import { Http2ErrorCode } from '../../../../src/proxy/http2/errors.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

/** Keeps what the client gets. */
interface Told {
  answers: string[];
  failures: string[];
  interim: number[];
}

for (const shared of [false, true])
  describe(`a request to a group, ${shared ? 'as a stream of a shared connection' : 'on a connection of its own'},`, () => {
    let clock: VirtualClock;
    let came: Came[];
    let told: Told;
    let targets: FakeTarget[];
    let counters: ProxyCounters;

    beforeEach(() => {
      clock = new VirtualClock();
      came = [];
      told = { answers: [], failures: [], interim: [] };
      counters = new ProxyCounters();
    });

    /** A group of these backends; the one whose name comes first is drawn first. */
    const groupOf = (deeds: Readonly<Record<string, readonly Deed[]>>): TargetGroup => {
      targets = Object.entries(deeds).map(([name, own]) => new FakeTarget(name, came, own, shared));
      const group = new TargetGroup('web:80', { clock, random: () => 0, counters });
      group.update(targets.map((target) => ({ name: target.name, target })));
      // From now on it is known that all can take a request, so first tries are watched.
      if (shared) group.pickOpen([], clock.monotonic());
      return group;
    };
    const handler = (): UpstreamHandler => ({
      onInterimResponse: (status) => told.interim.push(status),
      onResponse: ({ status, fields }) =>
        told.answers.push(`${status} ${fields.map(({ value }) => value).join()}`),
      onResponseBody: () => undefined,
      onResponseEnd: () => undefined,
      onRequestSent: () => undefined,
      onFailure: ({ message }) => told.failures.push(message),
    });
    const ask = async (group: TargetGroup, method = 'GET', body: readonly string[] = []): Promise<Told> => {
      const upstream = group.openNow('http1', request(method, body.length > 0), handler());
      if (upstream === undefined) throw new Error('not opened');
      for (const piece of body) upstream.write(Buffer.from(piece));
      if (body.length > 0) upstream.end(undefined);
      for (let round = 0; round < 40; round++) {
        await settle(20);
        if (told.answers.length + told.failures.length === 0) await clock.advance(100);
      }
      return told;
    };

    for (const [deed, why] of [
      ['cannot be reached', 'connect'],
      ['refuses', 'refused'],
      ['has none', 'no_endpoints'],
    ] as const)
      it(`goes elsewhere whatever its method where a backend ${deed}, with its body, and nobody sees it`, async () => {
        const group = groupOf({ a: [deed], b: ['serves'] });
        expect(await ask(group, 'POST', ['one', 'two'])).to.deep.equal({
          answers: ['200 b'],
          failures: [],
          interim: [],
        });
        expect(came).to.deep.equal([{ backend: 'b', alternatives: 0, body: ['one', 'two'] }]);
        expect(group.numbers.numbers).to.deep.equal({
          backends: { a: { served: 0, failed: 0, moved: 1 }, b: { served: 1, failed: 0, moved: 0 } },
          moved: { connect: 0, refused: 0, no_endpoints: 0, retry: 0, [why]: 1 },
          firstSuccess: { [why]: { buckets: [1, ...Array.from({ length: 13 }, () => 0)], sum: 0 } },
        });
      });

    it('is sent once more, elsewhere, where its connection was lost and it is idempotent', async () => {
      const group = groupOf({ a: ['lost'], b: ['lost'], c: ['serves'] });
      await ask(group, 'PUT', ['body']);
      expect(told.failures).to.deep.equal(['gone']);
      expect(came.map(({ backend }) => backend)).to.deep.equal(['a', 'b']);
      expect(group.numbers.moved.retry).to.equal(1);
    });

    it('is not sent again where it is not idempotent', async () => {
      const group = groupOf({ a: ['lost'], b: ['serves'] });
      await ask(group, 'POST', ['body']);
      expect(told).to.deep.equal({ answers: [], failures: ['gone'], interim: [] });
      expect(came.map(({ backend }) => backend)).to.deep.equal(['a']);
    });

    it('is not sent again where not all that was sent of its body is kept', async () => {
      const group = groupOf({ a: ['lost'], b: ['serves'] });
      await ask(group, 'PUT', ['x'.repeat(10_000), 'y'.repeat(10_000)]);
      expect(told.failures).to.deep.equal(['gone']);
      expect(came).to.have.length(1);
    });

    it("follows the word of Linkerd's gateway that it has no endpoint for methods that only read", async () => {
      expect((await ask(groupOf({ a: ['fails fast'], b: ['serves'] }))).answers).to.deep.equal(['200 b']);
      expect(came.map(({ backend }) => backend)).to.deep.equal(['a', 'b']);
      told.answers = [];
      const post = await ask(groupOf({ a: ['fails fast'], b: ['serves'] }), 'POST');
      expect(post.answers).to.deep.equal(['504 HTTP Balancer service in fail-fast']);
    });

    it('passes every other answer on, failures too', async () => {
      expect((await ask(groupOf({ a: ['answers 500'], b: ['serves'] }))).answers).to.deep.equal(['500 a']);
    });

    it('says how many others could take it, and passes over those that cannot', async () => {
      const group = groupOf({ a: ['serves'], b: ['serves'], c: ['serves'], d: ['serves'] });
      const [, second] = targets;
      if (second !== undefined) second.standing = 'closed';
      await clock.advance(5);
      await ask(group);
      expect(came).to.deep.equal([{ backend: 'a', alternatives: 2, body: [] }]);
    });

    // What a backend says of itself takes a walk through its connections: it was most of what a draw cost.
    it('asks all backends once in 5 ms, and in between no other than the one that is drawn', async () => {
      const group = groupOf({ a: ['serves'], b: ['serves'], c: ['serves'] });
      const asked: string[] = [];
      for (const target of targets)
        Object.defineProperty(target, 'standing', { get: () => (asked.push(target.name), 'open') });
      const drawn = shared ? [] : ['a'];
      for (const [afterMs, expected] of [
        [5, ['a', 'b', 'c']],
        [4, drawn],
        [1, ['a', 'b', 'c']],
      ] as const) {
        await clock.advance(afterMs);
        asked.length = 0;
        await ask(group);
        expect(asked).to.deep.equal(expected);
      }
      expect(came.map(({ alternatives }) => alternatives)).to.deep.equal([2, 2, 2]);
    });

    // In the 5 ms, too.
    it('passes over one that cannot take it as soon as that is so', async () => {
      const group = groupOf({ a: ['serves'], b: ['serves'] });
      await ask(group);
      const [first] = targets;
      if (first !== undefined) first.standing = 'closed';
      if (shared) first?.deeds.splice(0, 1, 'cannot be reached');
      told.answers = [];
      expect((await ask(group)).answers).to.deep.equal(['200 b']);
      expect(group.numbers.moved.connect).to.equal(0);
    });

    it('leaves out for a while one that has no endpoint, and longer each time', async () => {
      const group = groupOf({ a: ['has none'], b: ['serves'] });
      const asked = async () => {
        const before = group.numbers.moved.no_endpoints;
        told = { answers: [], failures: [], interim: [] };
        await ask(group);
        expect(told.answers).to.deep.equal(['200 b']);
        return group.numbers.moved.no_endpoints - before;
      };
      expect([await asked(), await asked()]).to.deep.equal([1, 0]);
      await clock.advance(250);
      expect([await asked(), await asked()]).to.deep.equal([1, 0]);
      await clock.advance(150);
      expect(await asked()).to.equal(0);
      await clock.advance(6000);
      const [first] = targets;
      first?.deeds.splice(0, 1, 'serves');
      told.answers = [];
      expect((await ask(group)).answers).to.deep.equal(['200 a']);
    });

    // Of large uploads every second one failed, for as long as the other cluster had no endpoint: only a
    // request that could be sent elsewhere made the group pass it over.
    it('leaves it out, too, where the request was too large to be sent elsewhere', async () => {
      const group = groupOf({ a: ['has none'], b: ['serves'] });
      const large = ['x'.repeat(10_000), 'y'.repeat(10_000)];
      expect((await ask(group, 'POST', large)).failures).to.deep.equal(['gone']);
      told.failures = [];
      expect((await ask(group, 'POST', large)).answers).to.deep.equal(['200 b']);
    });

    // Each POST that Linkerd's gateway answered with its failfast made the group use that cluster again.
    it("leaves one out by the word of Linkerd's gateway whatever the method, and sends only reads elsewhere", async () => {
      const group = groupOf({ a: ['fails fast'], b: ['serves'] });
      for (const [method, answer] of [
        ['POST', '504 HTTP Balancer service in fail-fast'],
        ['POST', '200 b'],
        ['GET', '200 b'],
      ] as const) {
        told.answers = [];
        expect((await ask(group, method)).answers).to.deep.equal([answer]);
      }
      expect(came.map(({ backend }) => backend)).to.deep.equal(['a', 'b', 'b']);
    });

    it('has one that could not be connected to proven without waiting for it', async () => {
      const group = groupOf({ a: ['serves'], b: ['serves'] });
      const [first] = targets;
      if (first !== undefined) first.standing = 'unproven';
      await clock.advance(5);
      expect((await ask(group)).answers).to.deep.equal(['200 b']);
      expect(first?.proven).to.be.greaterThan(0);
    });

    it('has one that is shut proven twice a second, whenever its breaker would be due', async () => {
      const group = groupOf({ a: ['serves'], b: ['serves'] });
      const [shut] = targets;
      if (shut === undefined) throw new Error('no target');
      shut.standing = 'closed';
      for (let count = 0; count < 20; count++) {
        await ask(group);
        await clock.advance(100);
      }
      expect(shut.provenEarly).to.equal(4);
    });

    it('begins again for 3 s where none can be reached, then says why each cannot, and at once to the next', async () => {
      const group = groupOf({ a: ['cannot be reached'], b: ['cannot be reached'] });
      const start = clock.monotonic();
      await ask(group);
      expect(told.failures).to.deep.equal(['a: a refused; b: b refused']);
      expect(clock.monotonic() - start).to.be.within(2400, 3100);
      await clock.advance(500);
      const before = clock.monotonic();
      told.failures = [];
      await ask(group);
      expect(told.failures).to.deep.equal(['a: a refused; b: b refused']);
      expect(clock.monotonic() - before).to.equal(0);
    });

    // With all clusters in a black hole each request waited for a second for each of them.
    it('is told so without a try once that has lasted, and each backend is tried in the background instead', async () => {
      const group = groupOf({ a: ['cannot be reached'], b: ['cannot be reached'] });
      await ask(group);
      await clock.advance(600);
      for (const target of targets) {
        target.standing = 'closed';
        target.opens = 0;
      }
      for (let count = 0; count < 5; count++) {
        told.failures = [];
        await ask(group, 'POST', ['x']);
        expect(told.failures).to.deep.equal(['a: a refused; b: b refused']);
      }
      expect(targets.map(({ opens }) => opens)).to.deep.equal([0, 0]);
      for (const { provenEarly } of targets) expect(provenEarly).to.be.within(1, 5);
      const [back] = targets;
      if (back === undefined) throw new Error('no target');
      back.standing = 'open';
      back.deeds.splice(0, 9, 'serves');
      expect((await ask(group, 'POST', ['x'])).answers).to.deep.equal(['200 a']);
    });

    it('is served as soon as one is back', async () => {
      const group = groupOf({
        a: ['cannot be reached', 'cannot be reached', 'serves'],
        b: ['cannot be reached'],
      });
      expect((await ask(group, 'POST', ['x'])).answers).to.deep.equal(['200 a']);
      expect(came.map(({ body }) => body.join(''))).to.deep.equal(['x']);
    });

    // Each target sheds what it cannot take, and the group had it try again for 3 s.
    it('is shed at once where all have as many requests as they may have, and goes to one that has not', async () => {
      const start = clock.monotonic();
      expect((await ask(groupOf({ a: ['is full'], b: ['is full'] }))).failures).to.deep.equal([
        'a: a is full; b: b is full',
      ]);
      expect(clock.monotonic()).to.equal(start);
      expect((await ask(groupOf({ a: ['is full'], b: ['serves'] }))).answers).to.deep.equal(['200 b']);
    });

    // Where all clusters were gone each request waited for 3 s, however many there were: unlike a target, a
    // group had no limit.
    it('does not wait for another round where too many do', async () => {
      const group = groupOf({ a: ['cannot be reached'], b: ['cannot be reached'] });
      for (let count = 0; count < MAX_PENDING + 100; count++)
        group.openNow('http1', request('GET'), handler());
      await settle(40);
      expect(group.outage.waiting).to.equal(MAX_PENDING);
      expect(told.failures).to.have.length(100);
      expect(new Set(told.failures)).to.deep.equal(new Set(['a: a refused; b: b refused']));
    });

    // Each try drew anew, so that one slow request could load the next tier with all of its tries.
    it('leaves the tier with one of its tries only, however many retries its owner allows', async () => {
      const group = groupOf({ a: ['answers 500'], b: ['answers 500'], c: ['answers 500'] });
      const rules = { retry: { statuses: [{ min: 500, max: 599 }], grpc: [], limit: 4 } };
      group.update(
        targets.map((target) => ({ name: target.name, target })),
        rules,
      );
      const draw = (share: number, tier: number) => ({ share, order: tier, weight: 1, tier });
      const draws = new Map([
        ['a', draw(0, 0)],
        ['b', draw(5000, 1)],
        ['c', draw(5000, 1)],
      ]);
      group.divide(new Map([['a', draw(1, 0)]]), 0);
      const upstream = group.openNow('http1', request('GET'), handler());
      expect(upstream).not.to.equal(undefined);
      await settle(20);
      // From now on the next tier has it all.
      group.divide(draws, 0);
      for (let round = 0; round < 40; round++) {
        await clock.advance(100);
        await settle(20);
      }
      expect(told.answers).to.have.length(1);
      expect(came.map(({ backend }) => backend)).to.deep.equal(['a', 'b', 'a', 'a', 'a']);
    });

    it('to the next tier is no retry where the first one has not processed it', async () => {
      const group = groupOf({ a: ['refuses'], b: ['refuses'], c: ['serves'] });
      const draws = new Map(
        ['a', 'b', 'c'].map((name, tier) => [name, { share: 0, order: tier, weight: 1, tier }]),
      );
      group.divide(draws, 0);
      expect((await ask(group, 'POST', ['x'])).answers).to.deep.equal(['200 c']);
    });

    it('is never sent to a backend that is not drawn', async () => {
      const group = groupOf({ a: ['serves'], b: ['cannot be reached'] });
      group.divide(new Map([['b', { share: 1, order: 0, weight: 1, tier: 0 }]]), 0);
      await ask(group);
      expect(told.failures).to.deep.equal(['b: b refused']);
    });

    // `max-share`: what no cluster may get is refused, so that the rest does not go down with it.
    it('is refused where it belongs to the part that nobody may get', async () => {
      const group = groupOf({ a: ['serves'] });
      group.divide(new Map([['a', { share: 4000, order: 0, weight: 1, tier: 0 }]]), 0.6);
      expect(group.openNow('http1', request('GET'), handler()), 'it may be refused').to.equal(undefined);
      const refusal = await group.open('http1', request('GET'), handler()).then(
        () => undefined,
        (error: unknown) => error as ProxyFailure,
      );
      expect(refusal?.status).to.equal(503);
      expect(refusal?.fields).to.deep.equal([['retry-after', '1']]);
      await group.lease(false).then(
        () => expect.fail('a raw connection was opened'),
        (error: unknown) => expect((error as ProxyFailure).kind).to.equal('load shed'),
      );
      expect(came).to.deep.equal([]);
    });

    // A group behind a gateway, which is itself one of several: the sender's others may be sooner.
    for (const [others, code] of [
      [1, Http2ErrorCode.REFUSED_STREAM],
      [0, undefined],
    ] as const)
      it(`fails at once where its sender asked for it, and has ${others} others`, async () => {
        const group = groupOf({ a: ['cannot be reached'], b: ['cannot be reached'] });
        const codes: (number | undefined)[] = [];
        const onFailure = (why: ProxyFailure) => void codes.push(why.code);
        group.openNow('http2', { ...request('POST'), alternatives: others }, { ...handler(), onFailure });
        await settle(40);
        expect(codes).to.deep.equal([code]);
        expect(clock.monotonic()).to.equal(new VirtualClock().monotonic());
      });

    // Passing it to another would hide from the client that it is not allowed, and from the owner that it
    // tried.
    it('fails where its client may not use the backend that is drawn, and goes to no other', async () => {
      const group = groupOf({ a: ['serves'], b: ['serves'] });
      const permit = (name: string) => (name === 'a' ? new ProxyFailure('unauthorized', 'not a') : undefined);
      const upstream = group.openNow('http1', { ...request('GET'), permit }, handler());
      expect(told.failures, 'not before whoever sends it has it').to.deep.equal([]);
      await settle(10);
      await clock.advance(1);
      expect(told.failures).to.deep.equal(['not a']);
      expect(upstream?.endpoint).to.equal(undefined);
      expect(came).to.deep.equal([]);
      expect(group.numbers.backend('a').failed).to.equal(1);
    });

    // A refusal is counted where it is decided: asked twice, one request would be two that were refused.
    it('asks once for each try whether its client may use the backend', async () => {
      const group = groupOf({ a: ['refuses'], b: ['serves'] });
      for (const refused of ['', 'a', 'b']) {
        const asked: string[] = [];
        const permit = (name: string) => {
          asked.push(name);
          return name === refused ? new ProxyFailure('unauthorized', `not ${name}`) : undefined;
        };
        group.openNow('http1', { ...request('GET'), permit }, handler());
        await settle(20);
        await clock.advance(1);
        expect(asked, refused).to.deep.equal(refused === 'a' ? ['a'] : ['a', 'b']);
      }
      expect([told.answers, told.failures]).to.deep.equal([['200 b'], ['not a', 'not b']]);
    });

    it('of a group without backends fails, saying so', async () => {
      await ask(groupOf({}));
      expect(told.failures).to.deep.equal(['no backend of web:80 is known']);
    });

    // A property test: backends do anything, in any order.
    it('is never read twice unless it is idempotent, and reaches whoever serves', async () => {
      const deed = fc.constantFrom<Deed>(
        'serves',
        'refuses',
        'has none',
        'cannot be reached',
        'lost',
        'fails fast',
        'answers 500',
      );
      const deeds = fc.array(fc.array(deed, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 });
      const method = fc.constantFrom('GET', 'PUT', 'POST', 'PATCH');
      await fc.assert(
        fc.asyncProperty(deeds, method, fc.boolean(), async (all, verb, hasBody) => {
          clock = new VirtualClock();
          came = [];
          told = { answers: [], failures: [], interim: [] };
          const group = groupOf(Object.fromEntries(all.map((own, at) => [`c${at}`, own])));
          await ask(group, verb, hasBody && verb !== 'GET' ? ['a', 'b'] : []);
          expect(told.answers.length + told.failures.length, 'ends once').to.equal(1);
          const reads = came.length;
          if (!IDEMPOTENT.has(verb)) expect(reads, 'reads').to.be.at.most(1);
          // Only a lost request is sent twice; a backend that says that it has no endpoint has not processed
          // it.
          expect(told.interim).to.deep.equal([]);
          for (const { body } of came) expect(body.join('')).to.equal(hasBody && verb !== 'GET' ? 'ab' : '');
          const first = all.map(([one]) => one);
          if (
            first.includes('serves') &&
            first.every((one) => one !== 'lost' && one !== 'fails fast' && one !== 'answers 500')
          )
            expect(told.answers[0]).to.match(/^200 /);
        }),
        { numRuns: 200 },
      );
    });
  });
