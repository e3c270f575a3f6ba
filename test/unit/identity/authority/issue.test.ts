import { X509Certificate } from 'node:crypto';
import { expect } from 'chai';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { identityName } from '../../../../src/identity/names/identity-name.ts';
import {
  type Authority,
  createAnchor,
  createIssuer,
  issueLeaf,
  parseAuthority,
} from '../../../../src/identity/authority/issue.ts';
import { generateKeys } from '../../../../src/identity/x509/keys.ts';
import { peerIdentities } from '../../../../src/identity/x509/peer-certificate.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const HOUR = 3_600_000;
const WEB = 'web.demo.serviceaccount.identity.linkerd.cluster.local';

async function failure(run: () => unknown): Promise<string | undefined> {
  try {
    await run();
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
  return undefined;
}

const times = (pem: string) => {
  const x509 = new X509Certificate(pem);
  return { from: Date.parse(x509.validFrom), to: Date.parse(x509.validTo) };
};

describe('issuing', () => {
  const clock = new VirtualClock();
  let anchor: Authority;
  let issuer: Authority;

  before(async () => {
    anchor = await createAnchor({ lifetimeMs: 100 * HOUR, clock });
    issuer = await createIssuer(anchor, { lifetimeMs: 50 * HOUR, clock });
  });

  it('names anchor and issuer as the mesh documentation does', () => {
    expect(new X509Certificate(anchor.cert).subject).to.equal('CN=root.linkerd.cluster.local');
    expect(new X509Certificate(issuer.cert).subject).to.equal('CN=identity.linkerd.cluster.local');
  });

  it('chains leaf, issuer and anchor', async () => {
    const leaf = await issueLeaf(issuer, { identity: WEB, lifetimeMs: HOUR, clock });
    const [first, second] = leaf.cert
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .map((pem) => new X509Certificate(pem));
    const root = new X509Certificate(leaf.ca);
    expect(second?.raw.equals(new X509Certificate(issuer.cert).raw)).to.equal(true);
    expect(first?.verify(new X509Certificate(issuer.cert).publicKey)).to.equal(true);
    expect(second?.verify(root.publicKey)).to.equal(true);
    expect(first?.ca).to.equal(false);
  });

  it('gives the leaf its name, a P-256 key and both uses', async () => {
    const leaf = await issueLeaf(issuer, { identity: WEB, lifetimeMs: HOUR, clock });
    const x509 = new X509Certificate(leaf.cert);
    expect(peerIdentities(x509.raw)).to.deep.equal([WEB]);
    expect(x509.publicKey.asymmetricKeyDetails?.namedCurve).to.equal('prime256v1');
    expect(x509.keyUsage).to.deep.equal(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  });

  it('puts a SPIFFE identity into a URI name', async () => {
    const leaf = await issueLeaf(issuer, { identity: 'spiffe://example.org/ns/a', lifetimeMs: HOUR, clock });
    expect(new X509Certificate(leaf.cert).subjectAltName).to.equal('URI:spiffe://example.org/ns/a');
  });

  it('starts 20 s back, because the peer has a clock of its own', async () => {
    const leaf = await issueLeaf(issuer, { identity: WEB, lifetimeMs: HOUR, clock });
    expect(times(leaf.cert)).to.deep.equal({ from: clock.now() - 20_000, to: clock.now() + HOUR });
    expect(leaf.notAfter).to.equal(clock.now() + HOUR);
  });

  it('lets no leaf outlive its issuer and no issuer its anchor', async () => {
    const leaf = await issueLeaf(issuer, { identity: WEB, lifetimeMs: 1000 * HOUR, clock });
    const long = await createIssuer(anchor, { lifetimeMs: 1000 * HOUR, clock });
    expect(leaf.notAfter).to.equal(issuer.notAfter);
    expect(long.notAfter).to.equal(anchor.notAfter);
  });

  it('gives every certificate a positive serial number of its own', async () => {
    const made = await Promise.all(
      Array.from({ length: 20 }, () => issueLeaf(issuer, { identity: WEB, lifetimeMs: HOUR, clock })),
    );
    const serials = made.map((leaf) => new X509Certificate(leaf.cert).serialNumber);
    expect(new Set(serials).size).to.equal(20);
    for (const serial of serials) expect(serial).to.match(/^[4-7][0-9A-F]{31}$/);
  });

  it('signs a key that it never sees', async () => {
    const keys = await generateKeys();
    const issued = await issueLeaf(issuer, {
      identity: WEB,
      lifetimeMs: HOUR,
      clock,
      publicKey: keys.publicKey,
    });
    expect(issued).not.to.have.property('key');
    expect(peerIdentities(new X509Certificate(issued.cert).raw)).to.deep.equal([WEB]);
  });

  it('leaves the issuer out of the leaf file when the anchor itself signs', async () => {
    const leaf = await issueLeaf(anchor, { identity: WEB, lifetimeMs: HOUR, clock });
    expect(leaf.cert.match(/BEGIN/g)).to.have.length(1);
  });

  it('refuses to sign once the issuer has expired', async () => {
    const later = new VirtualClock(issuer.notAfter + 1000);
    const run = () => issueLeaf(issuer, { identity: WEB, lifetimeMs: HOUR, clock: later });
    expect(await failure(run)).to.equal('IDENTITY_EXPIRED');
  });

  it('refuses an issuer under an issuer that may sign leaves only', async () => {
    expect(await failure(() => createIssuer(issuer, { lifetimeMs: HOUR, clock }))).to.equal('CONFIG_INVALID');
  });

  for (const identity of [
    '',
    'a b',
    '*.demo',
    'web.demo, DNS:admin',
    'http://x/y',
    `${'a'.repeat(64)}.demo`,
  ]) {
    it(`refuses the identity "${identity.slice(0, 20)}"`, async () => {
      expect(await failure(() => issueLeaf(issuer, { identity, lifetimeMs: HOUR, clock }))).to.equal(
        'CONFIG_INVALID',
      );
    });
  }

  for (const lifetimeMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    it(`refuses a lifetime of ${lifetimeMs} ms`, async () => {
      expect(await failure(() => createAnchor({ lifetimeMs, clock }))).to.equal('CONFIG_INVALID');
    });
  }

  it('reads back what it wrote', async () => {
    const again = parseAuthority({
      cert: { path: 'issuer.crt', text: issuer.chain },
      key: { path: 'issuer.key', text: issuer.key },
      ca: { path: 'ca.crt', text: issuer.ca },
    });
    const leaf = await issueLeaf(again, { identity: WEB, lifetimeMs: HOUR, clock });
    expect(new X509Certificate(leaf.cert).verify(new X509Certificate(issuer.cert).publicKey)).to.equal(true);
  });

  it('takes no leaf for an issuer', async () => {
    const leaf = await issueLeaf(issuer, { identity: WEB, lifetimeMs: HOUR, clock });
    const files = { cert: { path: 'a', text: leaf.cert }, key: { path: 'b', text: leaf.key } };
    expect(await failure(() => parseAuthority(files))).to.equal('IDENTITY_INVALID');
  });
});

describe('identityName', () => {
  it('is the name that Linkerd gives a service account', () => {
    expect(identityName({ serviceAccount: 'linkerd-gateway', namespace: 'linkerd-multicluster' })).to.equal(
      'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local',
    );
  });

  it('takes another control plane and trust domain', () => {
    const name = identityName({
      serviceAccount: 'a',
      namespace: 'b',
      controlNamespace: 'c',
      trustDomain: 'd.e',
    });
    expect(name).to.equal('a.b.serviceaccount.identity.c.d.e');
  });

  it('refuses parts that would make it another name', async () => {
    expect(await failure(() => identityName({ serviceAccount: 'a', namespace: 'b.c' }))).to.equal(
      'CONFIG_INVALID',
    );
    expect(await failure(() => identityName({ serviceAccount: '', namespace: 'b' }))).to.equal(
      'CONFIG_INVALID',
    );
  });
});
