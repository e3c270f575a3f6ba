import 'reflect-metadata';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { generateKeys, P256_SHA256 } from '../../../../src/identity/x509/keys.ts';
import {
  identityIn,
  matchesIdentity,
  peerIdentities,
} from '../../../../src/identity/x509/peer-certificate.ts';

type Names = ConstructorParameters<typeof SubjectAlternativeNameExtension>[0];

const keys = await generateKeys();

async function certificate(names: Names): Promise<Uint8Array> {
  const made = await X509CertificateGenerator.createSelfSigned({
    keys,
    name: 'CN=somebody.else',
    signingAlgorithm: P256_SHA256,
    extensions: [new SubjectAlternativeNameExtension(names)],
  });
  return new Uint8Array(made.rawData);
}

// One identity that is taken for another's is a client that gets in as somebody else.
describe('identityIn', () => {
  it('keeps certificates apart, however alike they are, and whoever was read before', async () => {
    const names = ['a.demo.example', 'b.demo.example', 'c.demo.example'];
    const ders = await Promise.all(names.map((value) => certificate([{ type: 'dns', value }])));
    // They end alike, as those that were made to meet in a cache would; two more differ in one byte only.
    const made = ders.map((der) => Uint8Array.from([...der.subarray(0, -2), 7, 7]));
    const alike = made.map((der) => {
      const [at] = [Buffer.from(der).indexOf('demo.example')];
      return Uint8Array.from([...der.subarray(0, at), 'n'.charCodeAt(0), ...der.subarray(at + 1)]);
    });
    for (let round = 0; round < 3; round++) {
      for (const [nth, der] of made.entries()) {
        expect(identityIn(der)).to.equal(names[nth]);
        expect(identityIn(alike[nth] ?? der)).to.equal(names[nth]?.replace('demo', 'nemo'));
      }
    }
  });

  it('does not hold on to memory that others write into', async () => {
    const der = Buffer.from(await certificate([{ type: 'dns', value: 'a.demo.example' }]));
    expect(identityIn(der)).to.equal('a.demo.example');
    der.write('n', der.indexOf('demo.example'), 'latin1');
    expect(identityIn(der)).to.equal('a.nemo.example');
  });
});

describe('peerIdentities', () => {
  it('lists DNS and URI names in the order of the certificate: the first one is who the peer is', async () => {
    const der = await certificate([
      { type: 'email', value: 'root@example.com' },
      { type: 'url', value: 'spiffe://example.com/ns/demo/sa/web' },
      { type: 'ip', value: '10.0.0.1' },
      { type: 'dns', value: 'web.demo.example' },
    ]);
    expect(peerIdentities(der)).to.deep.equal(['spiffe://example.com/ns/demo/sa/web', 'web.demo.example']);
  });

  it('ignores the common name', async () => {
    const der = await certificate([{ type: 'ip', value: '10.0.0.1' }]);
    expect(peerIdentities(der)).to.deep.equal([]);
  });

  // With text such as "DNS:a, DNS:admin.demo" one name could pass for two (CVE-2021-44532).
  it('never takes one name for two, nor a name with strange characters for an identity', async () => {
    const der = await certificate([
      { type: 'dns', value: 'a, DNS:admin.demo' },
      { type: 'dns', value: 'admin.demo\u0000.evil.example' },
      { type: 'url', value: 'spiffe://a/b\nadmin.demo' },
      { type: 'dns', value: 'good.demo' },
    ]);
    expect(peerIdentities(der)).to.deep.equal(['good.demo']);
  });

  // A wildcard would equal the pattern that is meant to match the identities below it.
  it('takes no wildcard for an identity', async () => {
    expect(peerIdentities(await certificate([{ type: 'dns', value: '*.demo.example' }]))).to.deep.equal([]);
  });

  it('compares DNS names in lower case', async () => {
    expect(peerIdentities(await certificate([{ type: 'dns', value: 'Web.Demo' }]))).to.deep.equal([
      'web.demo',
    ]);
  });

  it('reads a certificate that lies inside a bigger buffer', async () => {
    const der = await certificate([{ type: 'dns', value: 'web.demo' }]);
    const padded = new Uint8Array(der.length + 20);
    padded.set(der, 7);
    expect(peerIdentities(padded.subarray(7, 7 + der.length))).to.deep.equal(['web.demo']);
  });

  it('never throws and never reads past the end, whatever the bytes', async () => {
    const der = await certificate([{ type: 'dns', value: 'web.demo' }]);
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.nat(255), fc.nat(der.length), (at, value, cut) => {
        const broken = Uint8Array.from(der);
        broken[at] = value;
        for (const name of peerIdentities(broken.subarray(0, cut))) expect(name).to.match(/^[\x21-\x7e]+$/);
      }),
      { numRuns: 2000 },
    );
  });

  it('finds nothing in bytes that are no certificate', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => peerIdentities(bytes).length === 0));
  });
});

describe('matchesIdentity', () => {
  const web = 'web.demo.serviceaccount.identity.linkerd.cluster.local';
  const table: [pattern: string, identity: string, matches: boolean][] = [
    ['*', web, true],
    ['*', 'spiffe://a/b', true],
    ['*', '', false],
    [web, web, true],
    [web.toUpperCase(), web, true],
    ['*.demo.serviceaccount.identity.linkerd.cluster.local', web, true],
    ['*.serviceaccount.identity.linkerd.cluster.local', web, true],
    ['*.linkerd.cluster.local', web, true],
    ['*.other.serviceaccount.identity.linkerd.cluster.local', web, false],
    // Something has to stand in front of the rest, and at a label's boundary.
    ['*.demo.example', 'demo.example', false],
    ['*.demo.example', '.demo.example', false],
    ['*.demo.example', 'notdemo.example', false],
    ['*.', 'web.', false],
    ['', '', false],
    ['', web, false],
    // Only the leading part can be a wildcard.
    ['web.*', web, false],
    ['*demo.example', 'xdemo.example', false],
    ['spiffe://a/b', 'spiffe://a/b', true],
    ['spiffe://a/b', 'spiffe://a/B', false],
    ['spiffe://a/*', 'spiffe://a/b', false],
    // A path that somebody may choose must not pass for a domain.
    ['*.demo.example', 'spiffe://evil/x.demo.example', false],
  ];
  for (const [pattern, identity, matches] of table) {
    it(`"${pattern}" ${matches ? 'matches' : 'does not match'} "${identity}"`, () => {
      expect(matchesIdentity(pattern, identity)).to.equal(matches);
    });
  }
});
