// @peculiar/x509 needs the Reflect metadata API to be there first.
import 'reflect-metadata';
import { BasicConstraintsExtension, X509CertificateGenerator } from '@peculiar/x509';
import { expect } from 'chai';
import { KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import {
  importedAuthority,
  type ImportedAuthority,
  type ImportOptions,
} from '../../../../src/identity/import/imported-authority.ts';
import { type KeyMaterial, readPkcs12 } from '../../../../src/identity/import/pkcs12.ts';
import { createIssuer, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import { openIssuerDir } from '../../../../src/identity/authority/issuer-dir.ts';
import { verifyIdentity } from '../../../../src/identity/sources/loaded-identity.ts';
import {
  anchorFiles,
  issuerFiles,
  readAnchor,
  readIssuer,
  writePemFiles,
} from '../../../../src/identity/authority/pem-files.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { useTempDir } from '../../../support/temp-dir.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';
import { bytesOf, testdata } from './testdata.ts';

const DAY = 86_400_000;
const NAME = 'web.demo.serviceaccount.identity.linkerd.cluster.local';
const now = Date.now();

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const P384 = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' };
const rsa = (modulusLength: number, hash = 'SHA-256') => ({
  name: 'RSASSA-PKCS1-v1_5',
  hash,
  modulusLength,
  publicExponent: new Uint8Array([1, 0, 1]),
});
type Algorithm = typeof P256 | ReturnType<typeof rsa>;

interface Made {
  readonly keys: webcrypto.CryptoKeyPair;
  readonly key: KeyObject;
  readonly x509: X509Certificate;
  readonly algorithm: Algorithm;
  readonly subject: string;
}

interface MadeOptions {
  readonly by?: Made;
  readonly algorithm?: Algorithm;
  readonly keys?: webcrypto.CryptoKeyPair;
  readonly ca?: boolean;
  readonly until?: number;
}

async function make(name: string, options: MadeOptions = {}): Promise<Made> {
  const { by, algorithm = P256, ca = true, until = now + DAY } = options;
  const keys =
    options.keys ??
    ((await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair);
  const subject = `CN=${name}`;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: Buffer.from(name).toString('hex').slice(0, 30),
    subject,
    issuer: by?.subject ?? subject,
    publicKey: keys.publicKey,
    signingKey: by?.keys.privateKey ?? keys.privateKey,
    signingAlgorithm: by?.algorithm ?? algorithm,
    notBefore: new Date(now - DAY),
    notAfter: new Date(until),
    extensions: [new BasicConstraintsExtension(ca, undefined, true)],
  });
  const key = KeyObject.from(keys.privateKey);
  return { keys, key, x509: new X509Certificate(Buffer.from(certificate.rawData)), algorithm, subject };
}

function material(keys: readonly Made[], certificates: readonly Made[], named = false): KeyMaterial {
  const idOf = (one: Made) => (named ? one.subject : undefined);
  return {
    keys: keys.map((one) => ({ key: one.key, id: idOf(one) })),
    certificates: certificates.map((one) => ({ x509: one.x509, id: idOf(one) })),
  };
}

function imported(from: KeyMaterial, more: Partial<ImportOptions> = {}): Promise<ImportedAuthority> {
  return importedAuthority(from, { where: 'ca.p12', now, ...more });
}

async function failure(from: KeyMaterial, more: Partial<ImportOptions> = {}): Promise<LinkspanError> {
  try {
    await imported(from, more);
  } catch (error) {
    if (error instanceof LinkspanError) return error;
    throw error;
  }
  throw new Error('did not fail');
}

const subjects = (pem: string) =>
  pem
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .filter((block) => block.trim() !== '')
    .map((block) => /CN=(.*)/.exec(new X509Certificate(block).subject)?.[1]);

describe('an authority that is imported', () => {
  let root: Made;
  let middle: Made;
  let issuer: Made;
  before(async () => {
    root = await make('root');
    middle = await make('middle', { by: root });
    issuer = await make('issuer', { by: middle });
  });

  it('is told by its key, and its chain by signatures, in whatever order they stand', async () => {
    for (const order of [
      [issuer, middle, root],
      [root, middle, issuer],
      [middle, issuer, root],
      [issuer, issuer, root, middle, root],
    ]) {
      const { kind, authority, leftOut } = await imported(material([issuer], order));
      expect(kind).to.equal('issuer');
      expect(subjects(authority.chain)).to.deep.equal(['issuer', 'middle']);
      expect(subjects(authority.ca)).to.deep.equal(['root']);
      expect(leftOut).to.deep.equal([]);
    }
  });

  it('is an anchor when it is self-signed, and an issuer of itself when that is said', async () => {
    const anchor = await imported(material([root], [root]));
    expect(anchor.kind).to.equal('anchor');
    expect(anchor.authority).to.include({ chain: '', ca: anchor.authority.cert });
    const { kind, authority } = await imported(material([root], [root]), { as: 'issuer' });
    expect([kind, subjects(authority.chain), subjects(authority.ca)]).to.deep.equal([
      'issuer',
      ['root'],
      ['root'],
    ]);
  });

  it('may be an anchor that somebody else has signed, when that is said', async () => {
    const { kind, authority, leftOut } = await imported(material([middle], [middle, root]), { as: 'anchor' });
    expect([kind, subjects(authority.ca), leftOut]).to.deep.equal(['anchor', ['middle'], ['CN=root']]);
  });

  it('leaves out what is not on its way, and says so', async () => {
    const other = await make('other');
    const { authority, leftOut } = await imported(material([issuer], [other, issuer, root, middle]));
    expect(subjects(authority.ca)).to.deep.equal(['root']);
    expect(leftOut).to.deep.equal(['CN=other']);
  });

  it('needs its chain up to a root, or the anchors that it leads to', async () => {
    for (const certificates of [[issuer], [issuer, root], [issuer, middle]]) {
      const error = await failure(material([issuer], certificates));
      expect(error.code).to.equal('IDENTITY_UNTRUSTED');
      expect(error.message).to.match(certificates.includes(middle) ? /"CN=root"/ : /"CN=middle"/);
      expect(error.hint).to.contain('--ca');
    }
    const bundle = { path: 'anchors.pem', text: root.x509.toString() };
    const { authority } = await imported(material([issuer], [issuer, middle]), { bundle });
    expect([subjects(authority.chain), subjects(authority.ca)]).to.deep.equal([
      ['issuer', 'middle'],
      ['root'],
    ]);
    const other = { path: 'anchors.pem', text: (await make('other')).x509.toString() };
    expect((await failure(material([issuer], [issuer, middle, root]), { bundle: other })).code).to.equal(
      'IDENTITY_UNTRUSTED',
    );
  });

  it('stops at an anchor of the bundle that somebody else has signed', async () => {
    const bundle = { path: 'anchors.pem', text: middle.x509.toString() };
    const { authority, leftOut } = await imported(material([issuer], [issuer, middle, root]), { bundle });
    expect([subjects(authority.chain), subjects(authority.ca)]).to.deep.equal([['issuer'], ['middle']]);
    expect(leftOut).to.deep.equal(['CN=middle', 'CN=root']);
  });

  it('needs both a key and a certificate', async () => {
    const noKey = await failure(material([], [issuer, middle, root]));
    expect([noKey.code, noKey.message]).to.deep.equal([
      'IDENTITY_INVALID',
      'ca.p12: there are certificates in it and no private key',
    ]);
    const noCertificate = await failure(material([issuer], []));
    expect([noCertificate.code, noCertificate.message]).to.deep.equal([
      'IDENTITY_INVALID',
      'ca.p12: there is a private key in it and no certificate',
    ]);
  });

  it('needs the key of its own certificate', async () => {
    const error = await failure(material([await make('other')], [issuer, middle, root]));
    expect(error.code).to.equal('IDENTITY_KEY_MISMATCH');
    expect(error.message).to.contain('none of its 3 certificates');
    const crossed: KeyMaterial = {
      keys: [{ key: middle.key, id: '01' }],
      certificates: [
        { x509: issuer.x509, id: '01' },
        { x509: middle.x509, id: undefined },
      ],
    };
    const beside = await failure(crossed);
    expect(beside.code).to.equal('IDENTITY_KEY_MISMATCH');
    expect(beside.message).to.contain('"CN=issuer"');
  });

  it('has to be an authority', async () => {
    const leaf = await make('web', { by: root, ca: false });
    const error = await failure(material([leaf], [leaf, root]));
    expect(error.code).to.equal('IDENTITY_INVALID');
    expect(error.message).to.contain('"CN=web" is no certificate authority');
  });

  it('is one of several when it is the only authority, or the only one of its kind', async () => {
    const leaf = await make('web', { by: root, ca: false });
    const both = material([leaf, issuer], [leaf, issuer, middle, root]);
    expect(subjects((await imported(both)).authority.cert)).to.deep.equal(['issuer']);
    const two = material([root, issuer], [root, middle, issuer]);
    const error = await failure(two);
    expect(error.code).to.equal('IDENTITY_AMBIGUOUS');
    expect(error.message).to.contain('"CN=root", "CN=issuer"');
    expect(subjects((await imported(two, { as: 'anchor' })).authority.cert)).to.deep.equal(['root']);
    expect(subjects((await imported(two, { as: 'issuer' })).authority.cert)).to.deep.equal(['issuer']);
  });

  it('that was renewed with the same key is the one that the file names', async () => {
    const older = await make('older', { by: middle, keys: issuer.keys });
    const from = material([issuer], [older, issuer, middle, root], true);
    expect(subjects((await imported(from)).authority.cert)).to.deep.equal(['issuer']);
    expect((await failure(material([issuer], [older, issuer, middle, root]))).code).to.equal(
      'IDENTITY_AMBIGUOUS',
    );
  });

  it('needs a key that every peer verifies with', async () => {
    for (const [algorithm, found] of [
      [rsa(1024), 'RSA of 1024 bits'],
      [P384, 'secp384r1'],
    ] as const) {
      const weak = await make('weak', { algorithm });
      const error = await failure(material([weak], [weak]));
      expect(error.code).to.equal('IDENTITY_INVALID');
      expect(error.message).to.contain(`the key is ${found}`);
    }
  });

  it('may stand below authorities with other keys', async () => {
    const far = await make('far', { algorithm: P384 });
    const near = await make('near', { by: far });
    expect(subjects((await imported(material([near], [near, far]))).authority.ca)).to.deep.equal(['far']);
  });

  it('is refused when it was signed with SHA-1, which only a root may be', async () => {
    const old = await make('old', { algorithm: rsa(2048, 'SHA-1') });
    expect((await imported(material([old], [old]))).kind).to.equal('anchor');
    const below = await make('below', { by: old });
    const error = await failure(material([below], [below, old]));
    expect(error.code).to.equal('IDENTITY_INVALID');
    expect(error.message).to.match(/"CN=below" is signed with .*sha-?1/i);
  });

  it('is refused when its time is over, or that of its chain', async () => {
    const over = await make('over', { until: now - 1000 });
    expect((await failure(material([over], [over]))).code).to.equal('IDENTITY_EXPIRED');
    const below = await make('below', { by: over });
    expect((await failure(material([below], [below, over]))).code).to.equal('IDENTITY_EXPIRED');
  });
});

/** The rest works on what is imported as on what `identity anchor` and `issuer` make. */
describe('the files of an imported authority', () => {
  const dir = useTempDir();
  const clock = new VirtualClock(now);
  const read = (name: string) => readPkcs12(bytesOf(name), testdata(name), 'secret');

  for (const [name, label] of [
    ['ec-issuer.p12', 'EC PRIVATE KEY'],
    ['legacy-rsa-issuer.p12', 'RSA PRIVATE KEY'],
  ] as const) {
    it(`issue leaves that both ends of a connection take: ${name}`, async () => {
      const { authority } = await imported(read(name));
      const files = issuerFiles(authority);
      // Linkerd's issuer reads no PKCS#8 (pkg/tls/codec.go).
      expect(files.find((file) => file.name === 'issuer.key')?.text).to.contain(`-----BEGIN ${label}-----`);
      await writePemFiles(dir(), files);
      const issuer = await readIssuer(dir());
      expect(issuer).to.deep.equal(authority);
      const leaf = await issueLeaf(issuer, { identity: NAME, lifetimeMs: DAY, clock });
      const { cert, key, ca } = leaf;
      const text = (part: string, file: string) => ({ path: file, text: part });
      expect(verifyIdentity({ cert: text(cert, 'c'), key: text(key, 'k'), ca: text(ca, 'a') }, now)).to.be.an(
        'object',
      );
      expect(await handshake({ cert, key, ca })).to.deep.equal({ client: true, server: true });
    });

    it(`sign requests in the signer's directory: ${name}`, async () => {
      const { authority } = await imported(read(name));
      const [ca, key, cert] = issuerFiles(authority);
      await writePemFiles(dir(), [
        { name: 'ca.crt', text: ca?.text ?? '' },
        { name: 'tls.key', text: key?.text ?? '' },
        { name: 'tls.crt', text: cert?.text ?? '' },
      ]);
      const source = await openIssuerDir({ dir: dir(), clock, log: captureLog().log });
      expect(source.problem).to.equal(undefined);
      expect(source.current()).to.deep.equal(authority);
      await source.close();
    });
  }

  for (const name of ['ec-anchor.p12', 'rsa-anchor.p12']) {
    it(`make issuers of ours: ${name}`, async () => {
      const { kind, authority } = await imported(read(name));
      expect(kind).to.equal('anchor');
      await writePemFiles(dir(), anchorFiles(authority));
      const anchor = await readAnchor(dir());
      expect(anchor).to.deep.equal(authority);
      const issuer = await createIssuer(anchor, { lifetimeMs: 2 * DAY, clock });
      await writePemFiles(path.join(dir(), 'issuer'), issuerFiles(issuer));
      const leaf = await issueLeaf(await readIssuer(path.join(dir(), 'issuer')), {
        identity: NAME,
        lifetimeMs: DAY,
        clock,
      });
      expect(await handshake(leaf)).to.deep.equal({ client: true, server: true });
    });
  }
});

/** Whether each end takes the other one, with TLS as the gateway and the egress have it. */
async function handshake(identity: {
  cert: string;
  key: string;
  ca: string;
}): Promise<{ client: boolean; server: boolean }> {
  const shared = { ...identity, minVersion: 'TLSv1.3', allowPartialTrustChain: true } as const;
  const server = tls.createServer({ ...shared, requestCert: true, rejectUnauthorized: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>;
  const { port } = server.address() as AddressInfo;
  const client = tls.connect({ ...shared, port, host: '127.0.0.1', servername: NAME });
  const [[socket]] = await Promise.all([accepted, once(client, 'secureConnect')]);
  const both = { client: client.authorized, server: socket.authorized };
  client.destroy();
  socket.destroy();
  server.close();
  await once(server, 'close');
  return both;
}
