import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { downloadsFor } from '../../../testbed/binaries/archives.ts';
import { systemPath } from '../../../testbed/binaries/system-path.ts';
import { absentOf } from '../../../testbed/binaries/machine.ts';
import {
  MACHINE_PROGRAMS,
  NEEDS,
  OPTIONAL,
  optionalNeedsOf,
  programs,
  SYSTEM_PROGRAMS,
} from '../../../testbed/binaries/programs.ts';
import { useTempDir } from '../../../support/temp-dir.ts';

const root = path.join(import.meta.dirname, '../../../..');
const STARTS =
  /\b(?:spawn|spawnSync|execFile|execFileSync|exec|execSync)\)?\(\s*(?:'([^']+)'|"([^"]+)"|`([^`]+)`)/g;
/** Paths of programs of the machine, wherever they stand: a `spawn(FILE)` is not found by its name. */
const MACHINE = /['"`](\/(?:usr\/(?:local\/)?)?s?bin\/[^'"`\s:]+|\/opt\/[^'"`\s:]+)/g;
const ASKS = /\bbinaries\(\s*\[([^\]]*)\]/g;

function matches(pattern: RegExp, globs: readonly string[]): (readonly [string, string])[] {
  return globSync([...globs], { cwd: root }).flatMap((file) =>
    [...readFileSync(path.join(root, file), 'utf8').matchAll(pattern)].map(
      (match) => [file, match.slice(1).find((found) => found !== undefined) ?? ''] as const,
    ),
  );
}

/** A program that only this machine has makes `npm test` fail on the next one. */
describe('the list of programs', () => {
  const temp = useTempDir();
  const tests = ['test/{unit,wire,integration,support,testbed}/**/*.ts', 'demo/**/*.ts'];

  // One file of unit tests made the run build go-peers, which only two files at the wire use.
  it('says what some files need, and nothing for files that need nothing', () => {
    const titles = (...files: string[]) => optionalNeedsOf(files).map(({ title }) => title);
    expect(titles('test/unit/base/duration.test.ts', 'test/wire/http1.test.ts')).to.deep.equal([]);
    expect(titles('test/wire/go-grpc.test.ts')).to.deep.equal(["Go's HTTP/2 and gRPC"]);
    expect(titles(...OPTIONAL.flatMap(({ files }) => files))).to.have.length(OPTIONAL.length);
  });

  it('has every program of the machine that tests, testbed and demo start by name', () => {
    const listed = new Set<string>([...SYSTEM_PROGRAMS.required, ...SYSTEM_PROGRAMS.used]);
    const unlisted = matches(STARTS, tests).filter(([, name]) => !listed.has(name.split(' ')[0] ?? ''));
    expect(unlisted).to.deep.equal([]);
  });

  // A path went past the list, and past the PATH that is made of it: /usr/bin/openssl is on this machine and
  // not on the next.
  it('has no way round it by a path', () => {
    const known = new Set(['test/testbed/netns.ts', 'test/testbed/binaries/places.ts']);
    const paths = matches(MACHINE, tests).filter(([file]) => !known.has(file));
    expect(paths).to.deep.equal([]);
    // Made of parts, or it would be found itself.
    const texts = ['/usr', '/usr/local', ''].map((place) => `const tool = '${place}/bin/x'`);
    expect(texts.flatMap((text) => [...text.matchAll(MACHINE)])).to.have.length(3);
  });

  it('has every program that a test asks the testbed for among what is prepared for it', () => {
    const prepared: readonly string[] = [...NEEDS.tests, ...OPTIONAL.flatMap((need) => need.programs)];
    const asked = matches(ASKS, ['test/{unit,wire,integration,support}/**/*.ts']).filter(
      ([file]) => !file.startsWith('test/unit/testbed/'),
    );
    expect(asked).to.not.be.empty;
    for (const [file, list] of asked)
      for (const [, name = ''] of list.matchAll(/'([^']+)'/g)) expect(prepared, file).to.include(name);
  });

  it('gives tests a PATH with these programs and no others', () => {
    const PATH = systemPath(path.join(temp(), 'bin'));
    const run = (command: string) => execFileSync('sh', ['-c', command], { env: { PATH }, encoding: 'utf8' });
    expect(run('command -v git node')).to.include(PATH);
    expect(run('command -v curl openssl python3 go npm kubectl || true')).to.equal('');
  });

  it('gives them those that only some machines have by the same names, where a Python keeps its packages', () => {
    const bin = path.join(temp(), 'machine');
    mkdirSync(bin);
    const python = path.join(bin, 'python3');
    writeFileSync(python, '#!/bin/sh\n[ "$1" = -c ] && echo "$0" || echo "$0 $*"\n', { mode: 0o755 });
    const PATH = systemPath(path.join(temp(), 'bin'), { env: { PATH: bin }, machine: ['python3-grpcio'] });
    const said = execFileSync('sh', ['-c', "python3-grpcio 'a b' c"], { env: { PATH }, encoding: 'utf8' });
    expect(said).to.equal(`${python} a b c\n`);
  });

  it('says what the machine has not, and the package that brings it', () => {
    const names = Object.keys(MACHINE_PROGRAMS) as (keyof typeof MACHINE_PROGRAMS)[];
    const ci = readFileSync(path.join(root, '.ci/run'), 'utf8');
    for (const name of names) expect(ci, 'CI leaves nothing out').to.include(` ${MACHINE_PROGRAMS[name]}`);
    const bin = path.join(temp(), 'found');
    mkdirSync(bin);
    for (const name of names) writeFileSync(path.join(bin, name), '#!/bin/sh\n', { mode: 0o755 });
    expect(absentOf(names, [bin])).to.equal(undefined);
    rmSync(path.join(bin, 'h2load'));
    expect(absentOf(names, [bin])).to.equal(
      'this machine does not have h2load (Debian and Ubuntu: apt-get install nghttp2-client)',
    );
  });

  it('names what is left out by files that are there, and only programs that it has', () => {
    for (const need of OPTIONAL) {
      expect(globSync([...need.files], { cwd: root })).to.have.length(need.files.length);
      for (const name of need.programs) expect(programs).to.have.property(name);
    }
  });

  it('knows where to download for the platforms that CI and people have', () => {
    for (const platform of ['linux-x64', 'linux-arm64']) {
      const downloads = downloadsFor(platform);
      expect(downloads?.archive.url).to.match(/^https:\/\/github\.com\/kubernetes-sigs\/controller-tools\//);
      expect(downloads?.archive.sha512).to.match(/^[0-9a-f]{128}$/);
      expect(downloads?.release('kubectl').url).to.match(
        /^https:\/\/dl\.k8s\.io\/release\/v1\.\d+\.\d+\/bin\/linux\//,
      );
    }
    expect(downloadsFor('win32-x64')).to.equal(undefined);
  });
});
