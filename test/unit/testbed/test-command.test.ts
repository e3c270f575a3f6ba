import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { useTempDir } from '../../support/temp-dir.ts';

const root = path.join(import.meta.dirname, '../../..');

/** Runs `npm test -- unit` on one file of our own making; its last line and exit code are what CI believes. */
function run(
  file: string,
  body: string,
): { lastLine: string | undefined; status: number | null; output: string } {
  writeFileSync(file, body);
  const args = [
    path.join(root, 'scripts/test.ts'),
    'unit',
    '--no-config',
    '--extension',
    'mjs',
    '--spec',
    file,
  ];
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root });
  return { lastLine: stdout.trimEnd().split('\n').at(-1), status, output: stdout };
}

describe('scripts/test.ts', () => {
  const temp = useTempDir();
  const file = () => path.join(temp(), 'sample.mjs');

  it('counts what passed', () => {
    const { lastLine, status } = run(file(), `it('a', () => {}); it('b', () => {});`);
    expect(lastLine).to.equal('2 passed, 0 failed');
    expect(status).to.equal(0);
  });

  it('fails when a test fails', () => {
    const { lastLine, status } = run(file(), `it('a', () => {}); it('b', () => { throw new Error('no'); });`);
    expect(lastLine).to.equal('1 passed, 1 failed');
    expect(status).to.equal(1);
  });

  it('fails when no test ran', () => {
    const { lastLine, status } = run(file(), '');
    expect(lastLine).to.equal('0 passed, 0 failed');
    expect(status).to.equal(1);
  });

  it('fails when mocha dies in the middle, which leaves no counts at all', () => {
    const { lastLine, status, output } = run(
      file(),
      `it('a', () => { process.kill(process.pid, 'SIGKILL'); });`,
    );
    expect(output).to.include('mocha ended with SIGKILL before its tests were through');
    expect(lastLine).to.equal('0 passed, 1 failed');
    expect(status).to.equal(1);
  });

  it('fails when a file does not load', () => {
    const { lastLine, status } = run(file(), `import './not-there.mjs';`);
    expect(lastLine).to.equal('0 passed, 1 failed');
    expect(status).to.equal(1);
  });
});
