import { expect } from 'chai';
import { systemClock } from '../../../src/base/clock.ts';
import { systemLookUp } from '../../../src/dns/system-look-up.ts';
import { eventually } from '../../support/eventually.ts';
import { namesOf } from '../../support/host-names.ts';
import { NameServer, type QueryType, type Said } from '../../support/name-server.ts';

const NO_FILES = { '/etc/hosts': '', '/etc/resolv.conf': '' };

describe('the look-up of a name', () => {
  let server: NameServer;
  let say: (name: string, type: QueryType) => Said;
  const lookUp = (files: Partial<typeof NO_FILES> = {}) =>
    systemLookUp({
      clock: systemClock,
      servers: [server.address],
      read: (file) => ({ ...NO_FILES, ...files })[file],
    });
  const { signal } = new AbortController();

  beforeEach(async () => {
    server = await NameServer.start((name, type) => say(name, type));
  });
  afterEach(() => server.stop());

  it('asks for A and AAAA, and has the TTL of each', async () => {
    say = (_, type) =>
      type === 'A'
        ? { addresses: ['203.0.113.7', '203.0.113.8'], ttl: 7 }
        : { addresses: ['fd00::7'], ttl: 90 };
    expect(await lookUp()('gw.example.test', signal)).to.deep.equal({
      ipv4: { kind: 'addresses', addresses: ['203.0.113.7', '203.0.113.8'], ttlMs: 7000 },
      ipv6: { kind: 'addresses', addresses: ['fd00::7'], ttlMs: 90_000 },
    });
    expect(server.queries.toSorted()).to.deep.equal(['A gw.example.test', 'AAAA gw.example.test']);
  });

  // A gateway with an IPv6 address only was called dead: nobody had asked for it.
  it('takes a name that has only IPv6', async () => {
    say = () => ({ addresses: ['fd00::7'] });
    const { ipv4, ipv6 } = await lookUp()('gw.example.test', signal);
    expect([ipv4.kind, ipv6.kind]).to.deep.equal(['none', 'addresses']);
  });

  it('does not wait for an answer about AAAA that never comes', async () => {
    say = (_, type) => (type === 'A' ? { addresses: ['203.0.113.7'] } : 'silent');
    const { ipv4, ipv6 } = await lookUp()('gw.example.test', signal);
    expect(ipv4.kind).to.equal('addresses');
    expect(ipv6.kind === 'failed' && ipv6.error.message, 'given up').to.contain('ECANCELLED');
  });

  it('tells that there is no such name apart from that nobody knows', async () => {
    say = () => 'NXDOMAIN';
    expect(await lookUp()('gw.example.test', signal)).to.deep.include({ ipv4: { kind: 'none' } });
    say = () => 'SERVFAIL';
    const { ipv4 } = await lookUp()('gw.example.test', signal);
    expect(ipv4.kind === 'failed' && ipv4.error.message).to.contain('ESERVFAIL');
  });

  it('asks nobody for what stands in /etc/hosts, and for localhost', async () => {
    say = () => ({ addresses: ['203.0.113.7'] });
    const look = lookUp({ '/etc/hosts': '10.0.0.9 gw.example.test\nfd00::9 gw.example.test\n' });
    expect((await look('gw.example.test', signal)).ipv4).to.deep.include({ addresses: ['10.0.0.9'] });
    expect((await look('gw.example.test', signal)).ipv6).to.deep.include({ addresses: ['fd00::9'] });
    expect((await look('db.localhost', signal)).ipv4).to.deep.include({ addresses: ['127.0.0.1'] });
    expect(server.queries).to.deep.equal([]);
  });

  it('finds names in the search domains of a pod', async () => {
    const pod = { '/etc/resolv.conf': 'search demo.svc.cluster.local svc.cluster.local\noptions ndots:5\n' };
    say = (name) => (name === 'gw.other.svc.cluster.local' ? { addresses: ['10.0.0.9'] } : 'NXDOMAIN');
    expect((await lookUp(pod)('gw.other', signal)).ipv4).to.deep.include({ addresses: ['10.0.0.9'] });
    // A name outside is still found behind a search domain that is broken, and its own failure is not hidden.
    say = (name) => (name === 'gw.example.test' ? { addresses: ['203.0.113.7'] } : 'SERVFAIL');
    expect((await lookUp(pod)('gw.example.test', signal)).ipv4.kind).to.equal('addresses');
    say = (name) => (name === 'gw.example.test' ? 'NXDOMAIN' : 'SERVFAIL');
    expect((await lookUp(pod)('gw.example.test', signal)).ipv4.kind).to.equal('failed');
  });

  it('does not go through the search domains of a pod where the name server is silent', async () => {
    say = () => 'silent';
    const look = systemLookUp({
      clock: systemClock,
      servers: [server.address],
      read: () => 'search a.example b.example\noptions ndots:5\n',
      query: { timeout: 50, tries: 1 },
    });
    const { ipv4 } = await look('gw.example.test', signal);
    expect(ipv4.kind === 'failed' && ipv4.error.message).to.contain('ETIMEOUT');
    expect(new Set(server.queries.map((query) => query.split(' ')[1]))).to.deep.equal(
      new Set(['gw.example.test.a.example']),
    );
  });

  it('ends when nobody waits any more', async () => {
    say = () => 'silent';
    const waiting = new AbortController();
    const ended = lookUp()('gw.example.test', waiting.signal).then(
      () => 'answered',
      (error: unknown) => String(error),
    );
    await eventually('it asks', () => Promise.resolve(server.queries.length > 0));
    waiting.abort(new Error('not wanted'));
    expect(await ended).to.contain('not wanted');
  });

  // 20 names whose name server was silent held one healthy name up for 206 s; 300 would have for 50 minutes.
  it('of one name comes back while those of 300 others get no answer', async () => {
    say = (name) => (name.startsWith('silent') ? 'silent' : { addresses: ['203.0.113.7'] });
    const names = namesOf(lookUp(), systemClock);
    const silent = Array.from({ length: 300 }, (_, i) => names.follow(`silent-${i}.test`, () => undefined));
    try {
      expect(await names.resolve('gw.example.test')).to.deep.equal(['203.0.113.7']);
      expect(silent.filter(({ asked }) => asked)).to.deep.equal([]);
    } finally {
      for (const name of silent) name.stop();
    }
  });

  it('is made for sockets as getaddrinfo would', async () => {
    say = (name) => (name === 'gone.test' ? 'NXDOMAIN' : { addresses: ['203.0.113.7', 'fd00::7'] });
    const { forSockets } = namesOf(lookUp(), systemClock);
    const asked = (name: string, options: object) =>
      new Promise((resolve) => forSockets(name, options, (error, ...found) => resolve(error?.code ?? found)));
    expect(await asked('gw.test', { all: true })).to.deep.equal([
      [
        { address: '203.0.113.7', family: 4 },
        { address: 'fd00::7', family: 6 },
      ],
    ]);
    expect(await asked('gw.test', {})).to.deep.equal(['203.0.113.7', 4]);
    expect(await asked('gw.test', { family: 6 })).to.deep.equal(['fd00::7', 6]);
    expect(await asked('gone.test', { all: true })).to.equal('ENOTFOUND');
  });
});
