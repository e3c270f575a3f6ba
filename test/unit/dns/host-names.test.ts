import { expect } from 'chai';
import { answerOf, failedAnswer, type NameAnswer } from '../../../src/dns/answer.ts';
import { HostNames, LOOK_UP_MS } from '../../../src/dns/host-names.ts';
import { MAX_ADDRESSES } from '../../../src/dns/known-addresses.ts';
import { captureLog } from '../../support/captured-log.ts';
import { namesOf } from '../../support/host-names.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const SILENT = 'silent';
const NONE = answerOf([], 0);
const SERVFAIL = failedAnswer(new Error('queryA ESERVFAIL'));

/** Names whose answers the test changes, and the look-ups that were made. */
function start(answers: Record<string, NameAnswer | typeof SILENT>) {
  const clock = new VirtualClock();
  const asked: string[] = [];
  const ended: string[] = [];
  const { log, lines } = captureLog();
  const names = namesOf(
    (name, signal) => {
      asked.push(name);
      signal.addEventListener('abort', () => ended.push(name));
      const answer = answers[name] ?? NONE;
      return answer === SILENT ? new Promise(() => undefined) : Promise.resolve(answer);
    },
    clock,
    log,
  );
  let changes = 0;
  const follow = (name: string) => names.follow(name, () => changes++);
  return { clock, names, asked, ended, lines, answers, follow, changes: () => changes };
}

describe('host names', () => {
  // One Link with 300 mirrored ports asked 2,400 times every 15 s for one name.
  it('are looked up once for all who follow them, at the start and whenever the TTL ends', async () => {
    const { clock, asked, follow } = start({ gw: answerOf(['203.0.113.7'], 30_000) });
    const followed = Array.from({ length: 300 }, () => follow('GW'));
    await clock.advance(0);
    expect(followed.every(({ addresses }) => addresses.join() === '203.0.113.7')).to.equal(true);
    expect(asked).to.deep.equal(['gw']);
    await clock.advance(29_999);
    expect(follow('gw').addresses, 'known at once').to.deep.equal(['203.0.113.7']);
    expect(asked).to.have.length(1);
    await clock.advance(1);
    expect(asked).to.have.length(2);
  });

  // On Node a name was served after 206 s, because getaddrinfo asked for 20 others with two threads.
  it('do not wait for each other: one is there while 300 others get no answer', async () => {
    const answers: Record<string, NameAnswer | typeof SILENT> = {
      healthy: answerOf(['203.0.113.7'], 30_000),
    };
    for (let i = 0; i < 300; i++) answers[`silent-${i}`] = SILENT;
    const { clock, follow } = start(answers);
    const silent = Array.from({ length: 300 }, (_, i) => follow(`silent-${i}`));
    const healthy = follow('healthy');
    await clock.advance(0);
    expect(healthy.addresses).to.deep.equal(['203.0.113.7']);
    expect(silent.some((name) => name.asked)).to.equal(false);
  });

  it('get one look-up at a time, which ends when its time is over', async () => {
    const { clock, asked, ended, names, follow, lines } = start({ gw: SILENT });
    const gw = follow('gw');
    await clock.advance(LOOK_UP_MS - 1);
    expect([asked.length, ended.length, gw.asked]).to.deep.equal([1, 0, false]);
    await clock.advance(1);
    expect([asked.length, ended.length, gw.asked]).to.deep.equal([1, 1, true]);
    expect(gw.error?.message).to.contain('no answer within 10 s');
    expect(names.states).to.deep.equal({ resolved: 0, stale: 0, unresolved: 1 });
    await clock.advance(60_000);
    expect(asked.length).to.be.within(3, 8);
    const said = lines.filter(({ msg }) => msg === 'host name not resolved');
    expect(said, 'said once, not each time').to.have.length(1);
    expect(said[0]).to.include({ host: 'gw' });
  });

  it('keep their addresses while nobody answers, and say so', async () => {
    const { clock, names, answers, follow, changes, lines } = start({
      gw: answerOf(['203.0.113.7', 'fd00::7'], 30_000),
    });
    const gw = follow('gw');
    await clock.advance(0);
    for (const failure of [SERVFAIL, SILENT] as const) {
      answers['gw'] = failure;
      await clock.advance(3_600_000);
      expect(gw.addresses).to.deep.equal(['203.0.113.7', 'fd00::7']);
      expect(names.states).to.deep.equal({ resolved: 0, stale: 1, unresolved: 0 });
    }
    expect(changes()).to.equal(1);
    answers['gw'] = answerOf(['203.0.113.8'], 30_000);
    await clock.advance(30_000);
    expect(gw.addresses).to.deep.equal(['203.0.113.8']);
    expect(lines.at(-1)).to.include({ msg: 'host name resolved again', host: 'gw' });
  });

  it('keep the addresses of one family while only the other is answered for', async () => {
    const { clock, answers, follow } = start({ gw: answerOf(['203.0.113.7', 'fd00::7'], 5000) });
    const gw = follow('gw');
    await clock.advance(0);
    answers['gw'] = { ...answerOf(['203.0.113.8'], 5000), ipv6: SERVFAIL.ipv6 };
    await clock.advance(5000);
    expect(gw.addresses).to.deep.equal(['203.0.113.8', 'fd00::7']);
    answers['gw'] = answerOf(['203.0.113.8'], 5000);
    await clock.advance(5000);
    expect(gw.addresses, 'said to be gone').to.deep.equal(['203.0.113.8']);
  });

  // external-dns takes a record away before it makes it anew: mirrors went empty for the time between.
  it('keep their addresses when the name server says that there are none, and have others within 15 s', async () => {
    const { clock, names, answers, follow } = start({ gw: answerOf(['203.0.113.7'], 5000) });
    const gw = follow('gw');
    await clock.advance(0);
    answers['gw'] = NONE;
    await clock.advance(3_600_000);
    expect(gw.addresses).to.deep.equal(['203.0.113.7']);
    expect(gw.error?.message).to.equal('gw has no addresses');
    expect(names.states).to.deep.equal({ resolved: 0, stale: 1, unresolved: 0 });
    answers['gw'] = answerOf(['203.0.113.9'], 5000);
    await clock.advance(15_000);
    expect(gw.addresses).to.deep.equal(['203.0.113.9']);
  });

  it('are asked for between every 5 s and every 60 s, whatever their TTL says', async () => {
    for (const [ttl, least, most] of [
      [0, 11, 12],
      [86_400_000, 0, 1],
    ] as const) {
      const { clock, asked, follow } = start({ gw: answerOf(['203.0.113.7'], ttl) });
      follow('gw');
      await clock.advance(0);
      asked.length = 0;
      await clock.advance(59_999);
      expect(asked.length, `TTL ${ttl}`).to.be.within(least, most);
      await clock.advance(1);
      expect(asked.length).to.be.at.least(1);
    }
  });

  it('have 64 addresses at most, of both families', async () => {
    const many = (prefix: string, count: number) =>
      Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);
    const { clock, follow } = start({
      both: answerOf([...many('203.0.113.', 200), ...many('fd00::', 4000)], 5000),
      six: answerOf(many('fd00::', 4000), 5000),
    });
    const [both, six] = [follow('both'), follow('six')];
    await clock.advance(0);
    expect([both.addresses.length, six.addresses.length]).to.deep.equal([MAX_ADDRESSES, MAX_ADDRESSES]);
    expect(both.addresses.filter((address) => address.includes(':'))).to.have.length(32);
  });

  it('are not asked for any more when nobody follows them', async () => {
    const { clock, asked, ended, names, answers, follow } = start({
      gw: answerOf(['203.0.113.7'], 30_000),
      slow: SILENT,
    });
    const [one, two, slow] = [follow('gw'), follow('gw'), follow('slow')];
    await clock.advance(0);
    one.stop();
    one.stop();
    await clock.advance(30_000);
    expect(
      asked.filter((name) => name === 'gw'),
      'one is left',
    ).to.have.length(2);
    const [begun, over] = [asked, ended].map((all) => all.filter((name) => name === 'slow').length);
    expect(begun).to.equal((over ?? 0) + 1);
    slow.stop();
    expect(
      ended.filter((name) => name === 'slow'),
      'the one under way ends',
    ).to.have.length(begun ?? 0);
    two.stop();
    const again = follow('gw');
    expect(again.addresses, 'a route that is opened anew').to.deep.equal(['203.0.113.7']);
    again.stop();
    asked.length = 0;
    await clock.advance(3_600_000);
    expect([asked.length, clock.pending]).to.deep.equal([0, 0]);
    answers['gw'] = answerOf(['203.0.113.8'], 30_000);
    const later = follow('gw');
    expect(later.addresses, 'nothing old').to.deep.equal([]);
    await clock.advance(0);
    expect(later.addresses).to.deep.equal(['203.0.113.8']);
    expect(names.ended).to.include({ found: 3 });
  });

  it('are asked for at different times after a common start', async () => {
    const clock = new VirtualClock();
    const at = new Map<string, number>();
    let draw = 0;
    const names = new HostNames({
      lookUp: (name) => {
        at.set(name, clock.monotonic());
        return Promise.resolve(answerOf(['203.0.113.7'], 30_000));
      },
      clock,
      random: () => draw++ / 10,
      log: captureLog().log,
    });
    for (const name of ['a', 'b', 'c']) names.follow(name, () => undefined);
    await clock.advance(33_000);
    expect(new Set(at.values()).size).to.equal(3);
  });
});
