import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import { describeCertificates } from '../../../../src/identity/x509/describe.ts';
import { openIdentityDir } from '../../../../src/identity/sources/identity-dir.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import {
  anchorFiles,
  identityFiles,
  issuerFiles,
  readAnchor,
  readIssuer,
  writePemFiles,
} from '../../../../src/identity/authority/pem-files.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { useTempDir } from '../../../support/temp-dir.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const HOUR = 3_600_000;

async function failure(run: () => Promise<unknown>): Promise<LinkspanError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof LinkspanError) return error;
    throw error;
  }
  throw new Error('did not fail');
}

describe('files of authorities and leaves', () => {
  const dir = useTempDir();
  const clock = new VirtualClock();

  it('lead from an anchor to an identity directory', async () => {
    const [a, b, c] = ['anchor', 'issuer', 'leaf'].map((name) => path.join(dir(), name)) as [
      string,
      string,
      string,
    ];
    await writePemFiles(a, anchorFiles(await createAnchor({ lifetimeMs: 9 * HOUR, clock })));
    await writePemFiles(
      b,
      issuerFiles(await createIssuer(await readAnchor(a), { lifetimeMs: 8 * HOUR, clock })),
    );
    const leaf = await issueLeaf(await readIssuer(b), { identity: 'web.demo', lifetimeMs: HOUR, clock });
    await writePemFiles(c, identityFiles(leaf));
    const source = await openIdentityDir({ dir: c, clock, log: captureLog().log });
    expect(source.current()).to.deep.equal(leaf);
    await source.close();
  });

  it('show keys to their owner only', async () => {
    await writePemFiles(dir(), anchorFiles(await createAnchor({ lifetimeMs: HOUR, clock })));
    expect((await stat(path.join(dir(), 'ca.key'))).mode & 0o777).to.equal(0o600);
  });

  // linkerd2 pkg/tls/codec.go DecodePEMKey: "Expected 'EC PRIVATE KEY'".
  it('hold the issuer key in the form that Linkerd reads, and the leaf key as PKCS#8', async () => {
    const anchor = await createAnchor({ lifetimeMs: HOUR, clock });
    const leaf = await issueLeaf(anchor, { identity: 'web.demo', lifetimeMs: HOUR, clock });
    const keyOf = (files: readonly { name: string; text: string }[]) =>
      files.find((file) => file.name.endsWith('.key'))?.text;
    expect(keyOf(issuerFiles(anchor))).to.match(/^-----BEGIN EC PRIVATE KEY-----/);
    expect(keyOf(identityFiles(leaf))).to.match(/^-----BEGIN PRIVATE KEY-----/);
  });

  it('are not written over others without force, and then none is', async () => {
    await writeFile(path.join(dir(), 'b'), 'precious');
    const files = [
      { name: 'a', text: 'new' },
      { name: 'b', text: 'new' },
    ];
    const error = await failure(() => writePemFiles(dir(), files));
    expect(error.code).to.equal('FILE_EXISTS');
    expect(error.message).to.contain(path.join(dir(), 'b'));
    expect(await readdir(dir())).to.deep.equal(['b']);
    await writePemFiles(dir(), files, { force: true });
    expect(await readFile(path.join(dir(), 'b'), 'utf8')).to.equal('new');
    expect(await readdir(dir())).to.deep.equal(['a', 'b']);
  });

  it('may be there already with the same content', async () => {
    await writeFile(path.join(dir(), 'a'), 'same');
    const written = await writePemFiles(dir(), [{ name: 'a', text: 'same' }]);
    expect(written).to.deep.equal([path.join(dir(), 'a')]);
  });

  it('cannot be written where a file stands in the way of the directory', async () => {
    await writeFile(path.join(dir(), 'file'), '');
    const error = await failure(() =>
      writePemFiles(path.join(dir(), 'file', 'x'), [{ name: 'a', text: '' }]),
    );
    expect(error.code).to.be.oneOf(['FILE_NOT_WRITTEN', 'FILE_EXISTS']);
  });

  it('are named when they are missing', async () => {
    const error = await failure(() => readIssuer(dir()));
    expect(error.code).to.equal('IDENTITY_MISSING');
    expect(error.message).to.contain(path.join(dir(), 'issuer.crt'));
  });
});

describe('describeCertificates', () => {
  it('shows names, issuer, use and the time that is left', async () => {
    const clock = new VirtualClock();
    const anchor = await createAnchor({ lifetimeMs: 72 * HOUR, clock });
    const { cert, ca } = await issueLeaf(anchor, { identity: 'web.demo', lifetimeMs: 36 * HOUR, clock });
    expect(describeCertificates(cert + ca, 'both.crt', clock.now())).to.equal(`\
both.crt: certificate 1 of 2
  subject     -
  identity    web.demo
  issuer      CN=root.linkerd.cluster.local
  use         leaf
  key         ec prime256v1
  valid from  2025-12-31T23:59:40Z
  valid to    2026-01-02T12:00:00Z (1.5 days left)
both.crt: certificate 2 of 2
  subject     CN=root.linkerd.cluster.local
  identity    -
  issuer      itself
  use         certificate authority
  may name    everybody (no name constraints)
  key         ec prime256v1
  valid from  2025-12-31T23:59:40Z
  valid to    2026-01-04T00:00:00Z (3.0 days left)`);
  });

  it('shows whom an authority of one cluster may name', async () => {
    const { cert } = await createAnchor({ trustDomain: 'west.cluster.local', constrained: true });
    expect(describeCertificates(cert, 'ca.crt', Date.now())).to.contain(
      '\n  may name    west.cluster.local, spiffe://west.cluster.local, spiffe://.west.cluster.local\n',
    );
  });
});
