import 'reflect-metadata';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { expect } from 'chai';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import type { IdentitySource } from '../../../../src/identity/sources/identity.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import type { PemText } from '../../../../src/identity/sources/loaded-identity.ts';
import {
  type IssuedLeaf,
  type LeafIssuer,
  type LeafRequest,
  openRequestedIdentity,
} from '../../../../src/identity/sources/requested-identity.ts';
import type { TrustAnchors } from '../../../../src/identity/sources/trust-anchors.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { eventually } from '../../../support/eventually.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2026, 0, 1);
const WEB = 'web.demo.serviceaccount.identity.linkerd.cluster.local';

const making = new VirtualClock(START);
const old = await createAnchor({ lifetimeMs: 1000 * HOUR, clock: making, name: 'old' });
const next = await createAnchor({ lifetimeMs: 1000 * HOUR, clock: making, name: 'next' });
const oldIssuer = await createIssuer(old, { lifetimeMs: 900 * HOUR, clock: making });
const nextIssuer = await createIssuer(next, { lifetimeMs: 900 * HOUR, clock: making });

/** Anchors that a test sets. */
class Anchors implements TrustAnchors {
  readonly listeners = new Set<() => void>();
  text: string | undefined;
  problem: LinkspanError | undefined;
  closed = false;
  constructor(text: string | undefined) {
    this.text = text;
  }
  current(): PemText | undefined {
    return this.text === undefined ? undefined : { path: 'the bundle', text: this.text };
  }
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
  set(text: string | undefined, problem?: LinkspanError): void {
    this.text = text ?? this.text;
    this.problem = problem;
    for (const listener of this.listeners) listener();
  }
  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

/** An issuer that signs, until it is told to do something else. */
class Issuer implements LeafIssuer {
  readonly where = 'the issuer';
  readonly asked: number[] = [];
  readonly clock: VirtualClock;
  authority = oldIssuer;
  lifetimeMs = 24 * HOUR;
  closed = false;
  instead: ((request: LeafRequest) => Promise<IssuedLeaf>) | undefined;
  constructor(clock: VirtualClock) {
    this.clock = clock;
  }
  name(): Promise<string> {
    return Promise.resolve(WEB);
  }
  issue(request: LeafRequest): Promise<IssuedLeaf> {
    this.asked.push(this.clock.now() - START);
    return this.instead === undefined ? this.sign(request) : this.instead(request);
  }
  async sign(
    { der }: LeafRequest,
    { authority = this.authority, identity = WEB, clock = this.clock } = {},
  ): Promise<{ cert: string; notAfter: number }> {
    const publicKey = await new Pkcs10CertificateRequest(Buffer.from(der)).publicKey.export();
    return issueLeaf(authority, { identity, publicKey, lifetimeMs: this.lifetimeMs, clock });
  }
  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

describe('an identity that is asked for', () => {
  let clock: VirtualClock;
  let issuer: Issuer;
  let anchors: Anchors;
  let logged: ReturnType<typeof captureLog>;
  let source: IdentitySource | undefined;

  const open = (bundle: string | null = old.ca) => {
    anchors = new Anchors(bundle ?? undefined);
    source = openRequestedIdentity({ issuer, anchors, clock, random: () => 0.5, log: logged.log });
    return source;
  };
  /** Time goes on by itself while signing, which is not in virtual time, is waited for. */
  const until = <T>(what: string, condition: () => T) =>
    eventually(what, async () => {
      await clock.advance(100);
      return condition();
    });
  const down = () =>
    Promise.reject(new LinkspanError('IDENTITY_SERVICE_UNREACHABLE', 'the issuer: connect ECONNREFUSED'));
  const certOf = (asked: IdentitySource) => asked.current()?.cert;

  beforeEach(() => {
    clock = new VirtualClock(START);
    issuer = new Issuer(clock);
    logged = captureLog();
  });
  afterEach(() => source?.close());

  it('is there once the issuer has signed, verified against the bundle', async () => {
    const asked = open();
    expect(asked.ready).to.deep.equal({ ok: false, reason: 'no identity yet' });
    await until('the identity', () => asked.current());
    expect(asked.current()?.name).to.equal(WEB);
    expect(asked.current()?.ca).to.equal(old.ca);
    expect(asked.ready).to.deep.equal({ ok: true, reason: '' });
  });

  // At an installation the gateway starts before what issues its certificate does.
  it('waits for an issuer that is down, says so, and goes on asking with a growing delay', async () => {
    issuer.instead = down;
    const asked = open();
    await until('the refusal', () => asked.ready.reason !== 'no identity yet');
    expect(asked.ready.ok).to.equal(false);
    expect(asked.ready.reason).to.contain('[IDENTITY_SERVICE_UNREACHABLE] the issuer: connect ECONNREFUSED');
    await clock.advance(10 * 60_000);
    const gaps = issuer.asked.slice(1).map((at, index) => at - (issuer.asked[index] ?? 0));
    expect(gaps.slice(0, 4)).to.deep.equal([375, 750, 1500, 3000]);
    expect(gaps.at(-1)).to.equal(22_500);
    issuer.instead = undefined;
    await clock.advance(30_000);
    await until('the identity', () => asked.ready.ok);
    expect(asked.ready.reason).to.equal('');
  });

  it('renews at 70 % of the life, with a new key, and tells', async () => {
    const asked = open();
    await until('the identity', () => asked.current());
    const [first, taken] = [asked.current(), clock.now()];
    let told = 0;
    asked.subscribe(() => told++);
    const due = taken + 0.7 * 24 * HOUR;
    await clock.advance(due - clock.now() - 60_000);
    expect(issuer.asked).to.have.length(1);
    await clock.advance(120_000);
    await until('the renewal', () => certOf(asked) !== first?.cert);
    expect((issuer.asked[1] ?? 0) + START).to.be.within(due - 5000, due + 5000);
    expect(asked.current()?.key).to.not.equal(first?.key);
    expect(told).to.equal(1);
  });

  it('asks no more often than every 10 s, however short the life', async () => {
    issuer.lifetimeMs = 12_000;
    const asked = open();
    await until('the identity', () => asked.current());
    const before = certOf(asked);
    await clock.advance(9500);
    expect(issuer.asked).to.have.length(1);
    await clock.advance(1000);
    await until('the renewal', () => certOf(asked) !== before);
  });

  it('renews when the machine has slept over it, although no timer has run out', async () => {
    const asked = open();
    await until('the identity', () => asked.current());
    const before = certOf(asked);
    // The wall clock jumps; the timers do not.
    clock.now = () => clock.monotonic() + 20 * HOUR;
    await clock.advance(15_000);
    await until('the renewal', () => certOf(asked) !== before);
    expect(issuer.asked).to.have.length(2);
  });

  // A renewal that fails is no reason to stop serving: the leaf in use is good for hours.
  it('keeps the old leaf while renewal fails, warns near its end, and is not ready past it', async () => {
    const asked = open();
    await until('the identity', () => asked.current());
    const first = asked.current();
    issuer.instead = down;
    await clock.advance(18 * HOUR);
    expect(asked.current()).to.equal(first);
    expect(asked.ready.ok).to.equal(true);
    expect(asked.ready.reason).to.contain(
      'the last good identity is in use; renewal failed: [IDENTITY_SERVICE_',
    );
    await clock.advance(3 * HOUR);
    expect(asked.ready.ok).to.equal(true);
    expect(asked.ready.reason).to.contain('has not been renewed; renewal failed');
    await clock.advance(4 * HOUR);
    expect(asked.ready.ok).to.equal(false);
    expect(asked.ready.reason).to.contain('expired at 2026-01-02T');
    issuer.instead = undefined;
    await clock.advance(30_000);
    await until('readiness', () => asked.ready.ok);
  });

  describe('refuses, with the old leaf kept,', () => {
    const cases: { what: string; code: string; answer: (request: LeafRequest) => Promise<IssuedLeaf> }[] = [
      {
        what: 'a leaf of another anchor',
        code: 'IDENTITY_UNTRUSTED',
        answer: (request) => issuer.sign(request, { authority: nextIssuer }),
      },
      {
        what: 'a leaf for somebody else',
        code: 'IDENTITY_NAME_MISMATCH',
        answer: (request) => issuer.sign(request, { identity: `other.${WEB}` }),
      },
      {
        what: 'a leaf from the past',
        code: 'IDENTITY_EXPIRED',
        answer: (request) => {
          issuer.lifetimeMs = HOUR;
          return issuer.sign(request, { clock: new VirtualClock(START) });
        },
      },
      {
        what: 'a leaf from the future',
        code: 'IDENTITY_NOT_YET_VALID',
        answer: (request) => issuer.sign(request, { clock: new VirtualClock(START + 48 * HOUR) }),
      },
      {
        what: 'a leaf for another key',
        code: 'IDENTITY_KEY_MISMATCH',
        answer: () => issueLeaf(oldIssuer, { identity: WEB, clock }),
      },
      {
        what: 'a leaf that the issuer itself calls expired',
        code: 'IDENTITY_EXPIRED',
        answer: async (request) => ({ ...(await issuer.sign(request)), validUntil: START - 1 }),
      },
      {
        what: 'what is no certificate',
        code: 'IDENTITY_INVALID',
        answer: () => Promise.resolve({ cert: 'hello' }),
      },
    ];
    for (const { what, code, answer } of cases) {
      it(what, async () => {
        const asked = open();
        await until('the identity', () => asked.current());
        const first = asked.current();
        issuer.instead = answer;
        await clock.advance(17 * HOUR);
        await until('the refusal', () => asked.ready.reason !== '');
        expect(asked.ready.reason).to.contain(`[${code}]`);
        expect(asked.current()).to.equal(first);
      });
    }
  });

  it('ends when the issuer says, if that is before the end of the leaf', async () => {
    issuer.instead = async (request) => ({ ...(await issuer.sign(request)), validUntil: START + HOUR });
    const asked = open();
    await until('the identity', () => asked.current());
    expect(asked.current()?.notAfter).to.equal(START + HOUR);
  });

  describe('takes trust anchors', () => {
    it('at once when they are more, without asking for a new leaf', async () => {
      const asked = open();
      await until('the identity', () => asked.current());
      const leaf = certOf(asked);
      anchors.set(old.ca + next.ca);
      expect(asked.current()?.ca).to.equal(old.ca + next.ca);
      expect(certOf(asked)).to.equal(leaf);
      expect(issuer.asked).to.have.length(1);
    });

    // The last step of a rotation, taken while a leaf of the old issuer is still in use here.
    it('together with a new leaf, asked for at once, when the one in use leads to none of them', async () => {
      const asked = open();
      await until('the identity', () => asked.current());
      issuer.authority = nextIssuer;
      anchors.set(next.ca);
      expect(asked.current()?.ca).to.equal(old.ca);
      expect(asked.ready.ok).to.equal(true);
      await until('the new set', () => asked.current()?.ca === next.ca);
      expect(issuer.asked[1]).to.be.below(HOUR);
      expect(asked.ready).to.deep.equal({ ok: true, reason: '' });
    });

    it('when they come, if there were none at the start', async () => {
      const asked = open(null);
      await clock.advance(1000);
      expect(logged.lines).to.deep.equal([]);
      expect(asked.ready).to.deep.equal({ ok: false, reason: 'no identity yet' });
      anchors.set(undefined, new LinkspanError('IDENTITY_MISSING', 'ConfigMap a/b: it does not exist'));
      await until('the refusal', () => asked.ready.reason.includes('ConfigMap a/b'));
      expect(issuer.asked).to.have.length(0);
      anchors.set(old.ca);
      await until('the identity', () => asked.ready.ok);
    });

    it('not when they are bad: those in use stay, and the reason says so', async () => {
      const asked = open();
      await until('the identity', () => asked.current());
      anchors.set(undefined, new LinkspanError('IDENTITY_INVALID', 'the bundle: no PEM block'));
      expect(asked.current()?.ca).to.equal(old.ca);
      expect(asked.ready.ok).to.equal(true);
      expect(asked.ready.reason).to.contain('[IDENTITY_INVALID] the bundle');
      anchors.set(old.ca);
      expect(asked.ready.reason).to.equal('');
    });
  });

  it('leaves no timer after close, and closes what it was given', async () => {
    const asked = open();
    await until('the identity', () => asked.current());
    await asked.close();
    expect(clock.pending).to.equal(0);
    expect([issuer.closed, anchors.closed]).to.deep.equal([true, true]);
  });
});
