import { expect } from 'chai';
import fc from 'fast-check';
import { sleep } from '../../../../src/base/clock.ts';
import {
  LeaderElector,
  type LeaderElectionOptions,
} from '../../../../src/kube/leader-election/leader-election.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { FakeLeases, type Fate } from '../../../support/fake-leases.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

/** Linkerd's controller as it writes its Lease: no acquireTime of ours, MicroTime with six digits. */
const linkerd = (renewTime: string) => ({
  holderIdentity: 'linkerd-service-mirror-east-abc12',
  leaseDurationSeconds: 30,
  renewTime: renewTime as unknown as Date & object,
});

class World {
  readonly clock = new VirtualClock();
  readonly leases = new FakeLeases(this.clock);
  readonly captured = captureLog();
  /** Whose work runs now. */
  readonly working = new Set<string>();
  /** What happened when, seconds since the start. */
  readonly history: string[] = [];
  readonly #start = this.clock.monotonic();

  elector(who: string, options: Partial<LeaderElectionOptions> = {}): LeaderElector {
    return new LeaderElector({
      client: this.leases.client(who) as unknown as LeaderElectionOptions['client'],
      namespace: 'ns',
      name: 'lease',
      identity: who,
      clock: this.clock,
      random: () => 0,
      log: this.captured.log,
      onTerm: (signal) => this.work(who, signal),
      ...options,
    });
  }

  async work(who: string, signal: AbortSignal): Promise<void> {
    const others = [...this.working].map((other) => ` beside ${other}`).join('');
    this.working.add(who);
    this.note(`${who} begins${others}`);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    this.working.delete(who);
    this.note(`${who} ends`);
  }

  note(what: string): void {
    this.history.push(`${(this.clock.monotonic() - this.#start) / 1000} ${what}`);
  }

  get holder(): string | undefined {
    return this.leases.get()?.spec?.holderIdentity;
  }

  get calls(): string[] {
    return this.leases.calls.splice(0);
  }
}

/** Two controllers that write the same mirrors at once fight over them; none that does leaves them to rot. */
describe('lease', () => {
  it('is made when there is none, and renewed with one PUT every 5 s', async () => {
    const world = new World();
    const elector = world.elector('a');
    elector.start();
    await world.clock.advance(0);
    expect(elector.leader).to.equal(true);
    expect(world.calls).to.deep.equal(['a get', 'a create']);
    await world.clock.advance(20_000);
    expect(world.calls).to.deep.equal(['a replace', 'a replace', 'a replace', 'a replace']);
    await elector.stop();
  });

  it('says who holds it since when, in the form of the field', async () => {
    const world = new World();
    const elector = world.elector('a');
    elector.start();
    await world.clock.advance(5000);
    const spec = { ...world.leases.get()?.spec };
    expect(spec).to.deep.equal({
      holderIdentity: 'a',
      leaseDurationSeconds: 30,
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:05.000000Z',
      leaseTransitions: 0,
    });
    await elector.stop();
  });

  it('asks again only after a conflict, and keeps its term', async () => {
    const world = new World();
    const elector = world.elector('a');
    elector.start();
    await world.clock.advance(0);
    world.leases.put({ ...world.leases.get()?.spec, preferredHolder: 'edited by hand' });
    world.calls;
    await world.clock.advance(5000);
    expect(world.calls).to.deep.equal(['a replace', 'a get', 'a replace']);
    expect(world.history).to.deep.equal(['0 a begins']);
    await elector.stop();
  });

  it('is given back by stop, after the work has ended', async () => {
    const world = new World();
    const elector = world.elector('a', {
      onTerm: async (signal) => {
        await world.work('a', signal);
        await sleep(world.clock, 3000);
        world.note(`work ended, held by ${world.holder}`);
      },
    });
    elector.start();
    await world.clock.advance(1000);
    const stopped = elector.stop().then(() => world.note(`stopped, held by "${world.holder}"`));
    await world.clock.advance(3000);
    await stopped;
    expect(elector.leader).to.equal(false);
    expect(world.history).to.deep.equal([
      '0 a begins',
      '1 a ends',
      '4 work ended, held by a',
      '4 stopped, held by ""',
    ]);
  });

  it('is renewed while work that was told to stop still goes on', async () => {
    const world = new World();
    const stuck = world.elector('a', {
      onTerm: async (signal) => {
        await world.work('a', signal);
        world.working.add('a');
        await sleep(world.clock, 60_000);
        world.working.delete('a');
      },
    });
    stuck.start();
    await world.clock.advance(1000);
    const other = world.elector('b');
    other.start();
    const stopped = stuck.stop();
    await world.clock.advance(59_000);
    expect(other.leader).to.equal(false);
    await world.clock.advance(4000);
    await stopped;
    expect(other.leader).to.equal(true);
    await other.stop();
  });

  it('of another is respected until this replica has seen it unchanged for its whole duration', async () => {
    const world = new World();
    world.leases.put(linkerd('2020-01-01T00:00:00.123456Z'));
    const elector = world.elector('a');
    elector.start();
    for (let second = 0; second < 60; second += 2) {
      world.leases.put(linkerd(`2020-01-01T00:00:${String(second).padStart(2, '0')}.123456Z`));
      await world.clock.advance(2000);
    }
    expect(elector.leader).to.equal(false);
    await world.clock.advance(27_000);
    expect(elector.leader).to.equal(false);
    await world.clock.advance(6000);
    expect(elector.leader).to.equal(true);
    expect(world.leases.get()?.spec?.leaseTransitions).to.equal(1);
    await elector.stop();
  });

  it('that cannot be renewed ends the term 15 s after the last success, tried every 2 s', async () => {
    const world = new World();
    const elector = world.elector('a');
    elector.start();
    await world.clock.advance(10_000);
    world.leases.fate = () => ({ error: new Error('unreachable') });
    world.calls;
    await world.clock.advance(15_000);
    expect(world.history).to.deep.equal(['0 a begins', '25 a ends']);
    expect(elector.leader).to.equal(false);
    expect(world.calls.filter((call) => call !== 'a get')).to.have.length(1);
    await elector.stop();
  });

  it('whose renewal hangs ends the term in time all the same', async () => {
    const world = new World();
    const elector = world.elector('a');
    elector.start();
    await world.clock.advance(10_000);
    world.leases.fate = () => ({ before: Infinity });
    await world.clock.advance(15_000);
    expect(world.history).to.deep.equal(['0 a begins', '25 a ends']);
    const stopped = elector.stop();
    await world.clock.advance(10_000);
    await stopped;
  });

  it('that hung once is renewed by a second request within the deadline', async () => {
    const world = new World();
    const elector = world.elector('a');
    elector.start();
    await world.clock.advance(1000);
    let hung = 0;
    world.leases.fate = () => (hung++ === 0 ? { after: Infinity } : {});
    await world.clock.advance(60_000);
    expect(world.history).to.deep.equal(['0 a begins']);
    await elector.stop();
  });

  it('is counted from when a renewal was sent, not from when it was answered', async () => {
    const world = new World();
    const elector = world.elector('a');
    elector.start();
    await world.clock.advance(4000);
    world.leases.fate = () => ({ after: 4000 });
    await world.clock.advance(5000);
    world.leases.fate = () => ({ error: new Error('unreachable') });
    await world.clock.advance(30_000);
    expect(world.history).to.deep.equal(['0 a begins', '20 a ends']);
    await elector.stop();
  });

  it('that was lost is not held again before the work of the lost term has ended', async () => {
    const world = new World();
    let terms = 0;
    const elector = world.elector('a', {
      onTerm: async (signal) => {
        terms++;
        await world.work('a', signal);
        await sleep(world.clock, 9000);
        world.note('wound down');
      },
    });
    elector.start();
    await world.clock.advance(0);
    world.leases.fate = () => ({ error: new Error('unreachable') });
    await world.clock.advance(15_000);
    world.leases.fate = () => ({});
    await world.clock.advance(8000);
    expect(terms).to.equal(1);
    await world.clock.advance(4000);
    expect(terms).to.equal(2);
    expect(world.history.slice(0, 3)).to.deep.equal(['0 a begins', '15 a ends', '24 wound down']);
    const stopped = elector.stop();
    await world.clock.advance(10_000);
    await stopped;
  });

  it('that somebody deletes is not taken before its holder must have noticed', async () => {
    const world = new World();
    const holder = world.elector('a');
    holder.start();
    await world.clock.advance(1000);
    const follower = world.elector('b', { store: world.leases.store() });
    follower.start();
    await world.clock.advance(1000);
    world.leases.remove();
    await world.clock.advance(60_000);
    expect(world.history).to.deep.equal(['0 a begins']);
    await Promise.all([holder.stop(), follower.stop()]);
  });

  it('that another has taken ends the term at the next renewal', async () => {
    const world = new World();
    const elector = world.elector('a');
    elector.start();
    await world.clock.advance(1000);
    world.leases.put(linkerd('2020-01-01T00:00:00.123456Z'));
    await world.clock.advance(4000);
    expect(world.history).to.deep.equal(['0 a begins', '5 a ends']);
    expect(world.holder).to.contain('linkerd');
    await elector.stop();
    expect(world.holder, 'not released by who does not hold it').to.contain('linkerd');
  });

  it('whose work ends by itself is released, and tried again later', async () => {
    const world = new World();
    const elector = world.elector('a', {
      onTerm: async () => {
        world.note('works');
        await sleep(world.clock, 1000);
        throw new Error('bad day');
      },
    });
    elector.start();
    await world.clock.advance(1500);
    expect(world.holder).to.equal('');
    await world.clock.advance(2000);
    expect(world.history).to.deep.equal(['0 works', '3 works']);
    const stopped = elector.stop();
    await world.clock.advance(1000);
    await stopped;
  });

  it('is given back although the release meets a renewal that was thought lost', async () => {
    const world = new World();
    const elector = world.elector('a');
    elector.start();
    await world.clock.advance(1000);
    world.leases.fate = (_, verb) => (verb === 'replace' ? { after: Infinity } : {});
    await world.clock.advance(9000);
    world.leases.fate = () => ({});
    await elector.stop();
    expect(world.holder).to.equal('');
  });

  it('is deleted by remove, and only then', async () => {
    const world = new World();
    const holder = world.elector('a');
    const follower = world.elector('b');
    holder.start();
    await world.clock.advance(0);
    follower.start();
    await world.clock.advance(1000);
    await follower.remove();
    expect(world.holder).to.equal('a');
    await holder.remove();
    expect(world.leases.get()).to.equal(undefined);
  });

  it('is not deleted by remove when another has taken it meanwhile', async () => {
    const world = new World();
    const store = world.leases.store();
    const holder = world.elector('a');
    const other = world.elector('b', { store });
    holder.start();
    await world.clock.advance(0);
    other.start();
    world.leases.fate = (_, verb) => (verb === 'delete' ? { before: 100 } : {});
    const removed = holder.remove();
    await world.clock.advance(1000);
    await removed;
    expect(world.holder).to.equal('b');
    await other.stop();
  });

  it('refuses a deadline that would let two hold it at once', () => {
    const world = new World();
    expect(() => world.elector('a', { durationMs: 10_000, renewDeadlineMs: 10_000 })).to.throw(RangeError);
  });

  it('warns once while the API server cannot be reached, not every two seconds', async () => {
    const world = new World();
    world.leases.fate = () => ({ error: new Error('unreachable') });
    const elector = world.elector('a');
    elector.start();
    await world.clock.advance(60_000);
    expect(world.captured.lines.filter(({ level }) => level === 'warn')).to.have.length(1);
    world.leases.fate = () => ({});
    await elector.stop();
  });
});

describe('lease with a store of Leases', () => {
  it('costs a follower no request for as long as another renews it', async () => {
    const world = new World();
    const [first, second] = [world.leases.store(), world.leases.store()];
    const holder = world.elector('a', { store: first });
    holder.start();
    await world.clock.advance(0);
    const follower = world.elector('b', { store: second });
    follower.start();
    await world.clock.advance(300_000);
    expect(world.calls.filter((call) => call.startsWith('b'))).to.deep.equal([]);
    expect(world.history).to.deep.equal(['0 a begins']);
    await holder.stop();
    await follower.stop();
  });

  it('is taken over at once when its holder stops', async () => {
    const world = new World();
    const holder = world.elector('a', { store: world.leases.store() });
    const follower = world.elector('b', { store: world.leases.store(() => 20) });
    holder.start();
    await world.clock.advance(1000);
    follower.start();
    await world.clock.advance(1000);
    await holder.stop();
    await world.clock.advance(50);
    expect(world.history).to.deep.equal(['0 a begins', '2 a ends', '2.02 b begins']);
    await follower.stop();
  });

  it('is taken over when its holder was killed, after its duration', async () => {
    const world = new World();
    world.leases.put(linkerd('2020-01-01T00:00:00.123456Z'));
    const follower = world.elector('b', { store: world.leases.store() });
    follower.start();
    await world.clock.advance(29_900);
    expect(world.calls).to.deep.equal([]);
    await world.clock.advance(200);
    expect(world.history).to.deep.equal(['30 b begins']);
    expect(world.calls).to.deep.equal(['b replace']);
    await follower.stop();
  });

  it('is taken at once after an orderly removal', async () => {
    const world = new World();
    const holder = world.elector('a', { store: world.leases.store() });
    holder.start();
    await world.clock.advance(0);
    const follower = world.elector('b', { store: world.leases.store(() => 50) });
    follower.start();
    await world.clock.advance(1000);
    await holder.remove();
    await world.clock.advance(100);
    expect(world.holder).to.equal('b');
    await follower.stop();
  });

  it('that somebody deletes under its holder is made again by the holder', async () => {
    const world = new World();
    const holder = world.elector('a', { store: world.leases.store(() => 30) });
    const follower = world.elector('b', { store: world.leases.store() });
    holder.start();
    await world.clock.advance(1000);
    follower.start();
    await world.clock.advance(1000);
    world.leases.remove();
    await world.clock.advance(100);
    expect(world.holder).to.equal('a');
    await world.clock.advance(60_000);
    expect(world.history).to.deep.equal(['0 a begins']);
    await holder.stop();
    await follower.stop();
  });

  it('ends the term as soon as the store says that another has taken it', async () => {
    const world = new World();
    const elector = world.elector('a', { store: world.leases.store(() => 10) });
    elector.start();
    await world.clock.advance(1000);
    world.leases.put(linkerd('2020-01-01T00:00:00.123456Z'));
    await world.clock.advance(10);
    expect(world.history).to.deep.equal(['0 a begins', '1.01 a ends']);
    await elector.stop();
  });

  it('is not written over where the store tells the past', async () => {
    const world = new World();
    world.leases.put({ holderIdentity: '' });
    const stale = world.leases.store(() => 600_000);
    world.leases.put(linkerd('2020-01-01T00:00:00.123456Z'));
    const elector = world.elector('a', { store: stale });
    elector.start();
    await world.clock.advance(20_000);
    expect(world.history).to.deep.equal([]);
    expect(world.holder).to.contain('linkerd');
    await elector.stop();
  });

  it('does not spin where work fails at once', async () => {
    const world = new World();
    const elector = world.elector('a', {
      store: world.leases.store(),
      onTerm: () => Promise.reject(new Error('bad day')),
    });
    elector.start();
    await world.clock.advance(20_000);
    expect(world.calls.length).to.be.within(10, 24);
    await elector.stop();
  });

  it('takes no notice of its own writes, which a slow watch tells late', async () => {
    const world = new World();
    const elector = world.elector('a', {
      store: world.leases.store(() => 3000),
      onTerm: () => Promise.resolve(),
    });
    elector.start();
    await world.clock.advance(20_000);
    expect(world.calls.filter((call) => call === 'a get')).to.deep.equal([]);
    await elector.stop();
  });

  it('goes to the replica that holds fewest: the others wait', async () => {
    const world = new World();
    const busy = world.elector('busy', { store: world.leases.store(), claimDelayMs: () => 300 });
    const free = world.elector('free', { store: world.leases.store(), claimDelayMs: () => 0 });
    busy.start();
    await settle();
    await world.clock.advance(100);
    free.start();
    await world.clock.advance(1000);
    expect(world.history).to.deep.equal(['0.1 free begins']);
    await free.stop();
    await busy.stop();
  });

  it('is taken without delay by who held it last', async () => {
    const world = new World();
    let first = true;
    const elector = world.elector('a', {
      store: world.leases.store(),
      claimDelayMs: () => 10_000,
      onTerm: async (signal) => {
        if (!first) return world.work('a', signal);
        first = false;
        return Promise.resolve();
      },
    });
    elector.start();
    await world.clock.advance(10_000);
    await world.clock.advance(2000);
    expect(world.history).to.deep.equal(['12 a begins']);
    await elector.stop();
  });
});

describe('lease of several replicas', () => {
  const fate = fc.record({
    before: fc.constantFrom(0, 0, 0, 20, 500, 4000, 12_000, 31_000),
    after: fc.constantFrom(0, 0, 0, 20, 3000, 20_000, Infinity),
    fails: fc.constantFrom(false, false, false, true),
  });
  const action = fc.record({
    at: fc.integer({ min: 0, max: 150_000 }),
    who: fc.nat({ max: 2 }),
    restart: fc.boolean(),
  });

  it('is never held by two at work, whatever is late, lost, refused or restarted, and by one again in the end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fate, { minLength: 1, maxLength: 60 }),
        fc.array(action, { maxLength: 6 }),
        fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
        fc.array(fc.constantFrom(0, 10, 1000, 40_000), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 2, max: 3 }),
        fc.constantFrom(0, 0, 2000, 10_000),
        async (...[fates, actions, stores, delays, count, windDownMs]) => {
          const world = new World();
          let request = 0;
          let event = 0;
          let quiet = false;
          let overlap = '';
          world.leases.fate = (): Fate => {
            const next = quiet ? undefined : fates[request++ % fates.length];
            if (next === undefined) return {};
            const { before, after, fails } = next;
            return { before, after, ...(fails ? { error: new Error('unreachable') } : {}) };
          };
          const delay = () => (quiet ? 0 : (delays[event++ % delays.length] ?? 0));
          const make = (index: number, generation: number) => {
            const who = `r${index}.${generation}`;
            const elector = world.elector(who, {
              ...(stores[index] === true ? { store: world.leases.store(delay) } : {}),
              claimDelayMs: () => index * 100,
              onTerm: async (signal) => {
                if (world.working.size > 0) overlap ||= `${who} beside ${[...world.working].join()}`;
                world.working.add(who);
                if (!signal.aborted)
                  await new Promise((resolve) => signal.addEventListener('abort', resolve));
                if (windDownMs > 0) await sleep(world.clock, windDownMs);
                world.working.delete(who);
              },
            });
            elector.start();
            return elector;
          };
          const electors = Array.from({ length: count }, (_, index) => make(index, 0));
          const stopping: Promise<void>[] = [];
          let now = 0;
          let generation = 0;
          for (const { at, who, restart } of [...actions].sort((a, b) => a.at - b.at)) {
            await world.clock.advance(at - now);
            now = at;
            const elector = electors[who];
            if (elector === undefined) continue;
            stopping.push(restart ? elector.stop() : elector.remove());
            electors[who] = make(who, ++generation);
          }
          await world.clock.advance(180_000 - now);
          quiet = true;
          await world.clock.advance(120_000);
          await Promise.all(stopping);
          expect(overlap).to.equal('');
          expect([...world.working]).to.have.length(1);
          const stopped = Promise.all(electors.map((elector) => elector.stop()));
          await world.clock.advance(30_000);
          await stopped;
          expect([...world.working]).to.deep.equal([]);
        },
      ),
      { numRuns: 40 },
    );
  });
});
