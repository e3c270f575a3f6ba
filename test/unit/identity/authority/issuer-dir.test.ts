import { rm } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { type IssuerSource, openIssuerDir } from '../../../../src/identity/authority/issuer-dir.ts';
import {
  type Authority,
  createAnchor,
  createIssuer,
  issueLeaf,
} from '../../../../src/identity/authority/issue.ts';
import { loadIdentity } from '../../../../src/identity/sources/identity-dir.ts';
import { writePemFiles } from '../../../../src/identity/authority/pem-files.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { eventually } from '../../../support/eventually.ts';
import { useTempDir } from '../../../support/temp-dir.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2026, 0, 1);
const making = new VirtualClock(START);
const anchor = await createAnchor({ lifetimeMs: 1000 * HOUR, clock: making });
const issuer = await createIssuer(anchor, { lifetimeMs: 100 * HOUR, clock: making });
const other = await createAnchor({ lifetimeMs: 1000 * HOUR, clock: making, name: 'other' });

describe('openIssuerDir', () => {
  const dir = useTempDir();
  let clock: VirtualClock;
  let source: IssuerSource | undefined;
  let logged: ReturnType<typeof captureLog>;

  const put = (
    authority: Authority,
    change: Partial<Record<'tls.crt' | 'tls.key' | 'ca.crt', string>> = {},
  ) =>
    writePemFiles(
      dir(),
      Object.entries({
        'ca.crt': authority.ca,
        'tls.key': authority.key,
        'tls.crt': authority.chain,
        ...change,
      }).map(([name, text]) => ({ name, text })),
      { force: true },
    );
  const open = async () => (source = await openIssuerDir({ dir: dir(), clock, log: logged.log }));
  const until = (what: string, condition: () => boolean) =>
    eventually(what, async () => {
      await clock.advance(500);
      return condition();
    });

  beforeEach(() => {
    clock = new VirtualClock(START);
    logged = captureLog();
  });
  afterEach(() => source?.close());

  it('has an issuer whose leaves verify against the bundle', async () => {
    await put(issuer);
    const opened = await open();
    const current = opened.current();
    if (current === undefined) throw new Error('no issuer', { cause: opened.problem });
    const { cert, key, ca } = await issueLeaf(current, { identity: 'a.b', clock });
    const files = [cert, key, ca].map((text) => ({ path: 'x', text, error: undefined }));
    expect(loadIdentity(files, START).identity.name).to.equal('a.b');
  });

  it('waits for files that come later', async () => {
    const opened = await open();
    expect(opened.current()).to.equal(undefined);
    expect(opened.problem?.code).to.equal('IDENTITY_MISSING');
    await put(issuer);
    await until('the issuer', () => opened.current() !== undefined);
    expect(opened.problem).to.equal(undefined);
  });

  it('refuses what cannot sign, by name, and keeps the last good one', async () => {
    const leaf = await issueLeaf(issuer, { identity: 'a.b', clock });
    const cases: [string, Partial<Record<'tls.crt' | 'tls.key' | 'ca.crt', string>>][] = [
      ['IDENTITY_INVALID', { 'tls.crt': leaf.cert, 'tls.key': leaf.key }],
      ['IDENTITY_KEY_MISMATCH', { 'tls.key': anchor.key }],
      ['IDENTITY_UNTRUSTED', { 'ca.crt': other.ca }],
    ];
    await put(issuer);
    const opened = await open();
    const good = opened.current();
    for (const [code, change] of cases) {
      await put(issuer, change);
      await until(code, () => opened.problem?.code === code);
      expect(opened.current()).to.equal(good);
    }
    const refused = logged.lines.filter((line) => line.level === 'error').map((line) => line.err?.code);
    expect(refused).to.deep.equal(cases.map(([code]) => code));
  });

  it('goes on with the last good one when the files are gone, until it expires', async () => {
    const brief = await createIssuer(anchor, { lifetimeMs: HOUR / 4, clock: making });
    await put(brief);
    const opened = await open();
    await rm(path.join(dir(), 'tls.key'));
    await until('the problem', () => opened.problem !== undefined);
    expect(opened.current()?.cert).to.equal(brief.cert);
    await clock.advance(HOUR / 4);
    expect(opened.current()).to.equal(undefined);
  });

  it('tells of a new bundle for the same issuer', async () => {
    await put(issuer);
    const opened = await open();
    let told = 0;
    opened.subscribe(() => told++);
    await put(issuer, { 'ca.crt': issuer.ca + other.ca });
    await until('the bundle', () => opened.current()?.ca === issuer.ca + other.ca);
    expect(told).to.equal(1);
  });

  it('leaves no timer after close', async () => {
    await put(issuer);
    const opened = await open();
    await opened.close();
    expect(clock.pending).to.equal(0);
  });
});
