import { expect } from 'chai';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import type { Identity, IdentitySource } from '../../../../src/identity/sources/identity.ts';
import { type Authority, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import { DISTRUST_GRACE_MS, OpenPeers } from '../../../../src/identity/trust/open-peers.ts';
import { accountIn, freeAuthority } from '../../../support/authorities.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { closedIn } from '../../../support/closed-in.ts';
import { eventually } from '../../../support/eventually.ts';
import { useSurfaced } from '../../../support/surfaced.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const EAST = 'east.cluster.local';
const WEST = 'west.cluster.local';
const HOUR = 3_600_000;

/** What happened to a connection, in order. */
class Watched {
  readonly told: string[] = [];
  readonly #closing: (() => void)[] = [];
  whenClosed(listener: () => void): void {
    this.#closing.push(listener);
  }
  close(): void {
    for (const listener of this.#closing) listener();
  }
  retire(): void {
    this.told.push('retire');
  }
  abort(): void {
    this.told.push('abort');
  }
}

/**
 * A cluster was taken over and its anchor removed: whoever holds one of its connections open must not go on
 * for as long as it likes. And nobody else's connection may break for that, nor when a leaf is renewed.
 */
describe('open peers', () => {
  const surfaced = useSurfaced();
  const closed = closedIn(afterEach);
  let ours: Authority;
  let west: Authority;
  let clock: VirtualClock;
  let identity: Identity;
  let listeners: Set<() => void>;

  before(async () => {
    [ours, west] = await Promise.all([freeAuthority('ours'), freeAuthority('west')]);
  });
  beforeEach(async () => {
    clock = new VirtualClock(Date.now());
    listeners = new Set();
    identity = {
      ...(await issueLeaf(ours, { identity: accountIn(EAST, 'gateway') })),
      ca: ours.ca + west.ca,
      bound: [{ domain: WEST, pem: west.ca }],
    };
  });

  const source = (): IdentitySource => ({
    current: () => identity,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    ready: { ok: true, reason: '' },
    close: () => Promise.resolve(),
  });
  const open = (age = { maxAgeMs: HOUR, graceMs: 24 * HOUR }) => {
    const random = () => 0.5;
    return closed(new OpenPeers({ identity: source(), clock, random, age, log: captureLog().log }), (one) =>
      one.close(),
    );
  };
  function become(change: Partial<Identity>): void {
    identity = { ...identity, ...change };
    for (const listener of listeners) listener();
  }

  /** A connection of a client with this certificate, as a server sees it. */
  async function socketOf(client: Identity): Promise<tls.TLSSocket> {
    const { cert, key } = identity;
    const server = closed(
      tls.createServer({ cert, key, ca: ours.ca + west.ca, requestCert: true, rejectUnauthorized: true }),
      (one) => one.close(),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>;
    const socket = closed(
      tls.connect({
        host: '127.0.0.1',
        port: (server.address() as AddressInfo).port,
        cert: client.cert,
        key: client.key,
        ca: ours.ca,
        checkServerIdentity: () => undefined,
      }),
      (one) => one.destroy(),
    );
    socket.on('error', () => undefined);
    const [admitted] = await accepted;
    return admitted;
  }
  const clientOf = async (authority: Authority, domain: string) =>
    socketOf(await issueLeaf(authority, { identity: accountIn(domain) }));

  it('are asked to end, and ended within ten seconds, when the anchor that they rest on is gone', async () => {
    const peers = open();
    const [theirs, own] = [new Watched(), new Watched()];
    peers.add(theirs, await clientOf(west, WEST));
    peers.add(own, await clientOf(ours, EAST));
    become({ ca: ours.ca, bound: [] });
    await eventually('it is told', () => theirs.told.length > 0);
    expect(theirs.told).to.deep.equal(['retire']);
    await clock.advance(DISTRUST_GRACE_MS);
    expect(theirs.told).to.deep.equal(['retire', 'abort']);
    expect(DISTRUST_GRACE_MS).to.be.lessThan(10_000);
    expect(own.told).to.deep.equal([]);
  });

  // One connection that could not be looked at, or would not end, kept all behind it open, trust withdrawn or
  // not.
  it('end one by one: a mistake at one of them harms no other, and lets none stay', async () => {
    const peers = open();
    const [first, second, third] = [new Watched(), new Watched(), new Watched()];
    const broken = {
      retire: () => {
        throw new TypeError('a bug');
      },
      abort: () => first.abort(),
      whenClosed: () => undefined,
    };
    const unread = await clientOf(west, WEST);
    peers.add(broken, await clientOf(west, WEST));
    peers.add(second, unread);
    peers.add(third, await clientOf(west, WEST));
    Object.assign(unread, {
      getPeerX509Certificate: () => {
        throw new TypeError('a bug');
      },
    });
    become({ ca: ours.ca, bound: [] });
    await eventually('the last is told', () => third.told.length > 0);
    expect([first.told, second.told]).to.deep.equal([['abort'], ['abort']]);
    expect(surfaced.map(({ what }) => what)).to.deep.equal(['trust in connections', 'trust in connections']);
    await clock.advance(HOUR + DISTRUST_GRACE_MS);
    expect(third.told).to.include('abort');
  });

  it('are looked at again when an anchor is bound to another domain', async () => {
    const peers = open();
    const theirs = new Watched();
    peers.add(theirs, await clientOf(west, WEST));
    become({ bound: [{ domain: 'partner.example', pem: west.ca }] });
    await eventually('it is told', () => theirs.told.length > 0);
  });

  it('are left alone when only a leaf is new, or an anchor comes', async () => {
    const peers = open();
    const theirs = new Watched();
    peers.add(theirs, await clientOf(west, WEST));
    become(
      await issueLeaf(ours, { identity: accountIn(EAST, 'gateway') }).then(({ cert, key }) => ({
        cert,
        key,
      })),
    );
    const more = await freeAuthority('more');
    become({ ca: identity.ca + more.ca });
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(60_000);
    expect(theirs.told).to.deep.equal([]);
  });

  it('are all looked at, although a leaf is renewed meanwhile', async () => {
    const peers = open();
    const socket = await clientOf(west, WEST);
    // More than are looked at in one turn; here all on one socket.
    socket.setMaxListeners(0);
    const many = Array.from({ length: 100 }, () => new Watched());
    for (const one of many) peers.add(one, socket);
    become({ ca: ours.ca, bound: [] });
    become({ notAfter: identity.notAfter + 1 });
    await eventually('all are told', () => many.every(({ told }) => told.length > 0));
  });

  it('that come of a handshake which the change overtook are looked at when they come', async () => {
    const peers = open();
    const socket = await clientOf(west, WEST);
    become({ ca: ours.ca, bound: [] });
    const late = new Watched();
    peers.add(late, socket);
    expect(late.told).to.deep.equal(['retire']);
  });

  it('are asked to end at their age and ended after the grace', async () => {
    const peers = open({ maxAgeMs: HOUR, graceMs: 2 * HOUR });
    const one = new Watched();
    peers.add(one, await clientOf(ours, EAST));
    await clock.advance(HOUR - 60_000);
    expect(one.told).to.deep.equal([]);
    await clock.advance(2 * 60_000);
    expect(one.told).to.deep.equal(['retire']);
    await clock.advance(2 * HOUR);
    expect(one.told.slice(0, 2)).to.deep.equal(['retire', 'abort']);
  });

  it('never grow old where the age is nothing', async () => {
    const peers = open({ maxAgeMs: 0, graceMs: 0 });
    const one = new Watched();
    peers.add(one, await clientOf(ours, EAST));
    await clock.advance(1000 * HOUR);
    expect(one.told).to.deep.equal([]);
  });

  it('are forgotten when they have ended', async () => {
    const peers = open();
    const one = new Watched();
    peers.add(one, await clientOf(ours, EAST));
    expect(peers.size).to.equal(1);
    one.close();
    expect(peers.size).to.equal(0);
  });
});
