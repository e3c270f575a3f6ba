import 'reflect-metadata';
import { generateKeyPairSync, webcrypto } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { X509CertificateGenerator } from '@peculiar/x509';
import { expect } from 'chai';
import type { FileSnapshot } from '../../../../src/base/file-watch.ts';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import type { Identity, IdentitySource } from '../../../../src/identity/sources/identity.ts';
import { loadIdentity, openIdentityDir } from '../../../../src/identity/sources/identity-dir.ts';
import {
  type Authority,
  createAnchor,
  createIssuer,
  issueLeaf,
} from '../../../../src/identity/authority/issue.ts';
import { privateKeyPem, traditionalPem } from '../../../../src/identity/x509/keys.ts';
import { identityFiles, writePemFiles } from '../../../../src/identity/authority/pem-files.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { eventually } from '../../../support/eventually.ts';
import { useTempDir } from '../../../support/temp-dir.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const HOUR = 3_600_000;
const WEB = 'web.demo.serviceaccount.identity.linkerd.cluster.local';
const START = Date.UTC(2026, 0, 1);

const issuing = new VirtualClock(START);
const anchor = await createAnchor({ lifetimeMs: 1000 * HOUR, clock: issuing });
const issuer = await createIssuer(anchor, { lifetimeMs: 500 * HOUR, clock: issuing });
const other = await createAnchor({ lifetimeMs: 1000 * HOUR, clock: issuing, name: 'other' });
const leafOf = (from: Authority, hours = 24, at = issuing) =>
  issueLeaf(from, { identity: WEB, lifetimeMs: hours * HOUR, clock: at });
const good = await leafOf(issuer);

function snapshots(files: { cert?: string; key?: string; ca?: string }): FileSnapshot[] {
  const shape = { 'tls.crt': files.cert, 'tls.key': files.key, 'ca.crt': files.ca };
  return Object.entries(shape).map(([name, text]) => ({
    path: `/id/${name}`,
    text,
    error: text === undefined ? Object.assign(new Error('gone'), { code: 'ENOENT' }) : undefined,
  }));
}

function refusal(files: { cert?: string; key?: string; ca?: string }, now = START): LinkspanError {
  try {
    loadIdentity(snapshots(files), now);
  } catch (error) {
    if (error instanceof LinkspanError) return error;
    throw error;
  }
  throw new Error('was taken');
}

describe('loadIdentity', () => {
  it('takes a good set and names it by its first SAN', () => {
    const { identity } = loadIdentity(snapshots(good), START);
    expect(identity).to.deep.equal({ ...good, name: WEB });
  });

  it('takes a SEC1 key, with the curve parameters that openssl puts before it', () => {
    const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n';
    const key = parameters + traditionalPem(good.key);
    expect(loadIdentity(snapshots({ ...good, key }), START).identity.name).to.equal(WEB);
  });

  it('takes a leaf whose anchor is one of several, in the middle of a rotation', () => {
    expect(loadIdentity(snapshots({ ...good, ca: other.ca + good.ca }), START).identity.name).to.equal(WEB);
  });

  it('names the missing file', () => {
    const { ca: _, ...rest } = good;
    const error = refusal(rest);
    expect(error.code).to.equal('IDENTITY_MISSING');
    expect(error.message).to.equal('/id/ca.crt: there is no such file');
  });

  it('names the file that does not parse', () => {
    for (const [file, part] of Object.entries({ 'tls.crt': 'cert', 'tls.key': 'key', 'ca.crt': 'ca' })) {
      for (const text of ['', 'hello', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n']) {
        const error = refusal({ ...good, [part]: text });
        expect(error.code).to.equal('IDENTITY_INVALID');
        expect(error.message).to.contain(`/id/${file}: `);
      }
    }
  });

  it('says that a key is encrypted', () => {
    const { privateKey } = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
    });
    expect(refusal({ ...good, key: privateKey }).message).to.contain('encrypted with a password');
  });

  it('says that the key is of another pair', async () => {
    const { key } = await leafOf(issuer);
    expect(refusal({ ...good, key }).code).to.equal('IDENTITY_KEY_MISMATCH');
  });

  it('says what the chain ends at when the intermediate is missing', () => {
    const [leaf] = good.cert.split(/(?<=-----END CERTIFICATE-----\n)/);
    const error = refusal({ ...good, cert: leaf ?? '' });
    expect(error.code).to.equal('IDENTITY_UNTRUSTED');
    expect(error.message).to.contain('ends at issuer "CN=identity.linkerd.cluster.local"');
  });

  it('says what the chain ends at when the anchor is another', () => {
    const error = refusal({ ...good, ca: other.ca });
    expect(error.code).to.equal('IDENTITY_UNTRUSTED');
    expect(error.message).to.contain('root.linkerd.cluster.local');
  });

  it('is not deceived by an anchor of the same name with another key', async () => {
    const twin = await createAnchor({ lifetimeMs: 1000 * HOUR, clock: issuing });
    expect(refusal({ ...good, ca: twin.ca }).code).to.equal('IDENTITY_UNTRUSTED');
  });

  it('lets no leaf sign another leaf', async () => {
    const forged = await leafOf({ ...issuer, cert: good.cert, key: good.key, chain: good.cert });
    expect(refusal(forged).code).to.equal('IDENTITY_UNTRUSTED');
  });

  it('says when the leaf expired', () => {
    const error = refusal(good, START + 25 * HOUR);
    expect(error.code).to.equal('IDENTITY_EXPIRED');
    expect(error.message).to.equal('/id/tls.crt: the certificate expired at 2026-01-02T00:00:00Z');
  });

  it('says when the anchor expired, even though the leaf has not', async () => {
    const old = await createAnchor({ lifetimeMs: HOUR, clock: issuing });
    const leaf = await leafOf({ ...old, notAfter: START + 99 * HOUR });
    const error = refusal(leaf, START + 2 * HOUR);
    expect(error.code).to.equal('IDENTITY_EXPIRED');
    expect(error.message).to.contain('/id/ca.crt: the trust anchor');
  });

  it('points at the clock when the leaf is not valid yet', () => {
    expect(refusal(good, START - HOUR).code).to.equal('IDENTITY_NOT_YET_VALID');
  });

  // cert-manager issues RSA by default; Linkerd's proxies end such a handshake with an alert that names
  // nothing.
  it('refuses an RSA leaf and says what to ask for', async () => {
    const algorithm = {
      name: 'RSASSA-PKCS1-v1_5',
      hash: 'SHA-256',
      publicExponent: new Uint8Array([1, 0, 1]),
      modulusLength: 2048,
    };
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const made = await X509CertificateGenerator.createSelfSigned({ keys, signingAlgorithm: algorithm });
    const error = refusal({ ...good, cert: made.toString('pem'), key: await privateKeyPem(keys.privateKey) });
    expect(error.code).to.equal('IDENTITY_INVALID');
    expect(error.hint).to.contain('ECDSA');
  });
});

describe('openIdentityDir', () => {
  const dir = useTempDir();
  let clock: VirtualClock;
  let source: IdentitySource | undefined;
  let logged: ReturnType<typeof captureLog>;
  let told = 0;

  const put = (identity: Identity) => writePemFiles(dir(), identityFiles(identity), { force: true });
  const open = async () => {
    source = await openIdentityDir({ dir: dir(), clock, log: logged.log });
    source.subscribe(() => told++);
    return source;
  };
  const codes = () => logged.lines.filter((line) => line.level === 'error').map((line) => line.err?.code);
  const passing = (what: string, condition: () => boolean) =>
    eventually(what, async () => {
      await clock.advance(100);
      return condition();
    });

  beforeEach(() => {
    clock = new VirtualClock(START);
    logged = captureLog();
    told = 0;
  });
  afterEach(() => source?.close());

  it('has the identity when it is good', async () => {
    await put(good);
    const opened = await open();
    expect(opened.current()).to.deep.equal(good);
    expect(opened.ready).to.deep.equal({ ok: true, reason: '' });
  });

  it('is not ready without files, and picks them up when they appear', async () => {
    const opened = await open();
    expect(opened.current()).to.equal(undefined);
    expect(opened.ready.ok).to.equal(false);
    expect(opened.ready.reason).to.contain('[IDENTITY_MISSING]');
    await put(good);
    await passing('the identity', () => opened.current() !== undefined);
    expect(opened.ready.ok).to.equal(true);
    expect(told).to.be.greaterThan(0);
  });

  it('waits for a directory that is not there', async () => {
    await rm(dir(), { recursive: true });
    const opened = await open();
    await mkdir(dir());
    await put(good);
    await clock.advance(10_000);
    await passing('the identity', () => opened.current() !== undefined);
  });

  it('takes a renewed set', async () => {
    await put(good);
    const opened = await open();
    const renewed = await leafOf(issuer, 30);
    await put(renewed);
    await passing('the new identity', () => opened.current()?.cert === renewed.cert);
    expect(opened.current()?.key).to.equal(renewed.key);
  });

  it('takes a new trust bundle for the same leaf', async () => {
    await put(good);
    const opened = await open();
    await put({ ...good, ca: good.ca + other.ca });
    await passing('the new bundle', () => opened.current()?.ca !== good.ca);
  });

  // A half-written renewal must not take a serving gateway down, nor may half of it be used.
  it('goes on with the last good set when the new one is bad, and says so once', async () => {
    await put(good);
    const opened = await open();
    const { key } = await leafOf(issuer);
    await writeFile(path.join(dir(), 'tls.key'), key);
    await passing('the refusal', () => opened.ready.reason !== '');
    await clock.advance(60_000);
    expect(opened.current()).to.deep.equal(good);
    expect(opened.ready.ok).to.equal(true);
    expect(opened.ready.reason).to.contain('the last good identity is in use');
    expect(opened.ready.reason).to.contain('[IDENTITY_KEY_MISMATCH]');
    expect(codes()).to.deep.equal(['IDENTITY_KEY_MISMATCH']);
  });

  it('goes on with the last good set when a file is removed', async () => {
    await put(good);
    const opened = await open();
    await rm(path.join(dir(), 'tls.crt'));
    await passing('the refusal', () => codes().length > 0);
    expect(opened.current()).to.deep.equal(good);
    expect(codes()).to.deep.equal(['IDENTITY_MISSING']);
  });

  it('warns when a leaf near its end has not been renewed', async () => {
    await put(await leafOf(issuer, 1));
    const opened = await open();
    await clock.advance(0.75 * HOUR);
    expect(opened.ready.reason).to.equal('');
    await clock.advance(0.1 * HOUR);
    expect(opened.ready.ok).to.equal(true);
    expect(opened.ready.reason).to.equal(
      'the identity expires at 2026-01-01T01:00:00Z and has not been renewed',
    );
    expect(logged.lines.filter((line) => line.level === 'warn')).to.have.length(1);
    expect(told).to.equal(1);
  });

  it('is not ready once the identity has expired, and ready again when it is renewed', async () => {
    await put(await leafOf(issuer, 1));
    const opened = await open();
    await clock.advance(1.1 * HOUR);
    expect(opened.ready.ok).to.equal(false);
    expect(opened.ready.reason).to.contain('expired at 2026-01-01T01:00:00Z');
    expect(codes()).to.deep.equal(['IDENTITY_EXPIRED']);
    await put(good);
    await passing('readiness', () => opened.ready.ok);
    expect(opened.ready.reason).to.equal('');
  });

  it('begins to use a leaf when its time comes', async () => {
    const early = await leafOf(issuer, 24, new VirtualClock(START + HOUR));
    await put(early);
    const opened = await open();
    expect(opened.ready.reason).to.contain('[IDENTITY_NOT_YET_VALID]');
    await clock.advance(HOUR);
    expect(opened.current()).to.deep.equal(early);
  });

  it('gives the same object while nothing has changed, so that nobody rebuilds a TLS context', async () => {
    await put(good);
    const opened = await open();
    const first = opened.current();
    await clock.advance(60_000);
    expect(opened.current()).to.equal(first);
    expect(told).to.equal(0);
  });

  it('leaves no timer after close', async () => {
    await put(good);
    const opened = await open();
    await opened.close();
    expect(clock.pending).to.equal(0);
  });
});
