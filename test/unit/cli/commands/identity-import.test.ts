import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { keptLinkspanWith } from '../../../support/linkspan.ts';
import { loadedModules } from '../../../support/loaded-modules.ts';
import { useTempDir } from '../../../support/temp-dir.ts';
import { testdata } from '../../identity/import/testdata.ts';

const root = path.join(import.meta.dirname, '../../../..');
const BIN = path.join(root, 'bin/linkspan.js');

interface Run {
  readonly env?: Readonly<Record<string, string>>;
  /** On standard input, of a process of its own. */
  readonly input?: string;
}

/** Without a terminal: what it ended with and what it said. */
async function linkspan(
  args: readonly string[],
  { env = {}, input }: Run = {},
): Promise<[number, string, string]> {
  if (input === undefined) {
    const { code, stdout, stderr } = await keptLinkspanWith(env, ...args);
    return [code, stdout, stderr];
  }
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [BIN, ...args], (error, stdout, stderr) =>
      resolve([error === null ? 0 : Number(error.code ?? 1), stdout, stderr]),
    );
    child.stdin?.end(input);
  });
}

describe('linkspan identity import', () => {
  const dir = useTempDir();
  const out = (name = 'out') => path.join(dir(), name);

  it('writes what `identity issuer` would, and `identity leaf` signs with it', async () => {
    const args = ['identity', 'import', '--pkcs12', testdata('legacy-rsa-issuer.p12'), '--out', out()];
    const [code, stdout, stderr] = await linkspan([...args, '--password-file', '-'], { input: 'secret\n' });
    expect([code, stderr]).to.deep.equal([
      0,
      'imported as an issuer. Give it to linkspan install, or sign with it: linkspan identity leaf --issuer.\n',
    ]);
    expect(stdout).to.contain('CN=rsa-issuer');
    expect((await readdir(out())).sort()).to.deep.equal(['ca.crt', 'issuer.crt', 'issuer.key']);
    expect((await stat(path.join(out(), 'issuer.key'))).mode & 0o777).to.equal(0o600);
    const leaf = ['identity', 'leaf', '--issuer', out(), '--identity', 'web.demo', '--out', out('leaf')];
    expect((await linkspan(leaf))[0]).to.equal(0);
  });

  it('writes what `identity anchor` would, from PEM, and `identity issuer` works with it', async () => {
    const password = path.join(dir(), 'password');
    await writeFile(password, 'secret\n');
    const files = ['--cert', testdata('ec-issuer.crt.pem'), '--key', testdata('ec-traditional.key.pem')];
    const args = ['identity', 'import', ...files, '--as', 'anchor', '--out', out()];
    const [code, , stderr] = await linkspan([...args, '--password-file', password]);
    expect(code, stderr).to.equal(0);
    expect(stderr).to.contain('imported as a trust anchor');
    expect(stderr).to.match(/left out: O=Company, CN=ec-middle; O=Company, CN=ec-root\n/);
    expect((await readdir(out())).sort()).to.deep.equal(['ca.crt', 'ca.key']);
    const issuer = ['identity', 'issuer', '--anchor', out(), '--out', out('issuer')];
    expect((await linkspan(issuer))[0]).to.equal(0);
  });

  it('takes the password from the environment, and the anchors from a file', async () => {
    const p12 = ['--pkcs12', testdata('rsa-issuer-without-chain.p12'), '--out', out()];
    const run = { env: { LINKSPAN_IMPORT_PASSWORD: 'secret' } };
    const [code, , stderr] = await linkspan(['identity', 'import', ...p12], run);
    expect(code).to.equal(1);
    expect(stderr).to.contain('[IDENTITY_UNTRUSTED]');
    const ca = ['--ca', testdata('rsa-root.crt.pem')];
    expect((await linkspan(['identity', 'import', ...p12, ...ca], run))[0]).to.equal(0);
    expect(await readFile(path.join(out(), 'ca.crt'), 'utf8')).to.equal(
      readFileSync(testdata('rsa-root.crt.pem'), 'utf8'),
    );
  });

  it('says with a code what is wrong, and writes nothing then', async () => {
    const cases: readonly [flags: string[], code: string, run?: Run][] = [
      [['--pkcs12', testdata('ec-issuer.p12')], 'IDENTITY_PASSWORD_MISSING'],
      [
        ['--key', testdata('ec-pbes2.key.pem'), '--cert', testdata('ec-issuer.crt.pem')],
        'IDENTITY_PASSWORD_MISSING',
      ],
      [
        ['--pkcs12', testdata('ec-issuer.p12'), '--password-file', '-'],
        'IDENTITY_PASSWORD_WRONG',
        { input: 'no' },
      ],
      [['--pkcs12', testdata('ec-issuer.crt.pem')], 'IDENTITY_CONTAINER_INVALID'],
      [['--pkcs12', '/dev/zero'], 'IDENTITY_CONTAINER_INVALID'],
      [['--pkcs12', path.join(dir(), 'none.p12')], 'IDENTITY_MISSING'],
      [['--pkcs12', testdata('ec-issuer.p12'), '--cert', testdata('ec-issuer.crt.pem')], 'CONFIG_INVALID'],
      [['--cert', testdata('ec-issuer.crt.pem')], 'CONFIG_INVALID'],
      [
        ['--key', testdata('rsa-plain.key.pem'), '--cert', testdata('ec-issuer.crt.pem')],
        'IDENTITY_KEY_MISMATCH',
      ],
    ];
    for (const [flags, code, run] of cases) {
      const [exit, , stderr] = await linkspan(['identity', 'import', ...flags, '--out', out()], run);
      expect(stderr, flags.join(' ')).to.contain(`[${code}] `);
      expect(exit).to.equal(code === 'CONFIG_INVALID' ? 2 : 1);
    }
    expect(await readdir(dir())).to.deep.equal([]);
  });
});

/** node-forge is 13 MB in memory and 50 ms: nobody else pays for it. */
describe('node-forge', () => {
  const dir = useTempDir();

  it('is loaded by `identity import`', async () => {
    const args = [
      'identity',
      'import',
      '--pkcs12',
      testdata('ec-anchor.p12'),
      '--out',
      path.join(dir(), 'out'),
    ];
    expect(await loadedModules(dir(), args, { LINKSPAN_IMPORT_PASSWORD: 'secret' })).to.contain(
      '/node-forge/',
    );
  });

  it('is loaded by no other verb', async () => {
    // The list of verbs is made of them all.
    const found = await loadedModules(dir(), ['--help']);
    expect(found)
      .to.contain('/src/cli/commands/controller.ts')
      .and.to.contain('/src/cli/commands/identity-import.ts');
    expect(found).to.not.contain('/node-forge/');
    const anchor = await loadedModules(dir(), ['identity', 'anchor', '--out', path.join(dir(), 'anchor')]);
    expect(anchor).to.contain('/@peculiar/x509/');
    expect(anchor).to.not.contain('/node-forge/');
  });

  // What is imported when a verb runs, rather than when it is loaded, stands in its file too.
  it('is imported by src/identity/import alone, and that by `identity import` alone', async () => {
    const src = path.join(root, 'src');
    const files = (await readdir(src, { recursive: true })).filter((file) => file.endsWith('.ts'));
    const texts = await Promise.all(
      files.map(async (file) => ({ file, text: await readFile(path.join(src, file), 'utf8') })),
    );
    const importing = (what: RegExp) => texts.filter(({ text }) => what.test(text)).map(({ file }) => file);
    for (const file of importing(/from 'node-forge'|import\('node-forge/))
      expect(path.dirname(file)).to.equal('identity/import');
    expect(importing(/['/]identity\/import\//)).to.deep.equal(['cli/commands/identity-import.ts']);
  });
});
