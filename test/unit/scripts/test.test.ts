import { expect } from 'chai';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually } from '../../support/eventually.ts';
import { useTempDir } from '../../support/temp-dir.ts';
import { NEEDS } from '../../testbed/binaries/programs.ts';
import { startTimeOf } from '../../testbed/processes.ts';

const root = path.join(import.meta.dirname, '../../..');
const LINKERD_PROGRAMS = 'test/integration/linkerd-programs.test.ts';

/** Runs `npm test -- unit` on files of our own making; its last line and exit code are what CI believes. */
function run(
  file: string,
  body: string,
  ...rest: string[]
): { lastLine: string | undefined; status: number | null; output: string } {
  writeFileSync(file, body);
  const args = [path.join(root, 'scripts/test.ts'), 'unit', file, ...rest];
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

  // Every save printed hundreds of names, and what failed had scrolled away.
  it('shows a dot for each test when it is asked for the fast ones, and names what fails', () => {
    const names = `it('one passes', () => {}); it('one fails', () => { throw new Error('no'); });`;
    writeFileSync(file(), names);
    const args = [path.join(root, 'scripts/test.ts'), 'fast', file()];
    const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root });
    expect(stdout).not.to.include('one passes');
    expect(stdout).to.include('one fails');
    expect(stdout.trimEnd().split('\n').at(-1)).to.equal('1 passed, 1 failed');
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

  describe('in several processes', () => {
    /** Runs a sample beside another file, each in its own process. */
    function runBoth(body: string, other: string, ...rest: string[]) {
      const second = path.join(temp(), 'other.mjs');
      writeFileSync(second, other);
      return run(file(), body, second, '--shards', '2', ...rest);
    }

    const passing = `describe('other', () => { it('c', () => {}); });`;

    it('adds up what they counted', () => {
      const { lastLine, status, output } = runBoth(`it('a', () => {}); it('b', () => {});`, passing);
      expect(lastLine).to.equal('3 passed, 0 failed');
      expect(status).to.equal(0);
      // Whichever ends first.
      for (const shard of [1, 2])
        expect(output).to.match(new RegExp(`unit ${shard} of 2: ended after \\d+ s`));
    });

    it('says what a suite of a file said in one piece, and failures whole and last', () => {
      // Each writes while the other does: without pieces, lines of both would take turns.
      const talking = (name: string) => `describe('${name}', () => {
        for (let n = 0; n < 20; n++) it('${name} ' + n, async () => {
          process.stdout.write('${name} says ' + n + '\\n');
          await new Promise((resolve) => setTimeout(resolve, 10));
          if (n === 19) throw new Error('${name} is wrong');
        });
      });`;
      const { lastLine, output } = runBoth(talking('left'), talking('right'));
      expect(lastLine).to.equal('38 passed, 2 failed');
      for (const name of ['left', 'right']) {
        const lines = output.split('\n');
        const said = lines.flatMap((line, index) =>
          line === `${name} says 0` || line === `${name} says 19` ? [index] : [],
        );
        const piece = lines.slice(said[0], said[1]).join('\n');
        expect(piece).not.to.include(name === 'left' ? 'right' : 'left');
        expect(output.lastIndexOf(`Error: ${name} is wrong`)).to.be.above(output.lastIndexOf('says 19'));
      }
    });

    it('counts what others passed when one dies', () => {
      const { lastLine, status, output } = runBoth(
        `it('a', () => { process.kill(process.pid, 'SIGKILL'); });`,
        passing,
      );
      expect(output).to.match(/unit \d of 2 tests: mocha ended with SIGKILL before its tests were through/);
      expect(lastLine).to.equal('1 passed, 1 failed');
      expect(status).to.equal(1);
    });

    it('is content when the pattern is met in one of them, and not when in none', () => {
      expect(runBoth(`it('a', () => {});`, passing, '--grep', 'other')).to.include({
        lastLine: '1 passed, 0 failed',
        status: 0,
      });
      const none = runBoth(`it('a', () => {});`, passing, '--grep', 'nowhere');
      expect(none).to.include({ lastLine: '0 passed, 0 failed', status: 1 });
      expect(none.output).to.include('no test ran');
    });

    it('ends although a program that a test left behind holds its output open', () => {
      const { lastLine, status } = runBoth(
        `import { spawn } from 'node:child_process';
         it('a', () => { spawn('sleep', ['30'], { stdio: 'inherit', detached: true }).unref(); });`,
        passing,
      );
      expect(lastLine).to.equal('2 passed, 0 failed');
      expect(status).to.equal(0);
    });

    it('ends all of them when it is interrupted', async () => {
      const waiting = (name: string) => `import { writeFileSync } from 'node:fs';
        it('waits', (done) => { writeFileSync('${path.join(temp(), name)}', String(process.pid)); setTimeout(done, 30_000); });`;
      writeFileSync(file(), waiting('one'));
      writeFileSync(path.join(temp(), 'other.mjs'), waiting('two'));
      const args = ['scripts/test.ts', 'unit', file(), path.join(temp(), 'other.mjs'), '--shards', '2'];
      const child = spawn(process.execPath, args, { cwd: root, stdio: 'ignore' });
      const exited = once(child, 'exit');
      const pids = await eventually('both to run', () =>
        ['one', 'two'].map((name) => {
          const pid = Number(readFileSync(path.join(temp(), name), 'utf8'));
          expect(startTimeOf(pid)).not.to.equal(undefined);
          return pid;
        }),
      );
      child.kill('SIGTERM');
      const [code] = await exited;
      expect(code).to.equal(1);
      for (const pid of pids) expect(startTimeOf(pid)).to.equal(undefined);
    });
  });

  it('explains a flag that it does not understand, and its last line is a failure', () => {
    const args = [path.join(root, 'scripts/test.ts'), '--from', 'banana'];
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root });
    expect(stderr).to.match(/^\[TESTBED_BAD_FLAG\] .*\n$/);
    expect(stdout).to.equal('0 passed, 1 failed\n');
    expect(status).to.equal(1);
  });

  for (const command of [
    ['scripts/test.ts', 'integration'],
    ['scripts/prepare.ts', 'helm'],
  ]) {
    it(`ends at once, and Go with it, when it is interrupted while it builds: ${command.join(' ')}`, async () => {
      const go = path.join(temp(), 'go');
      const pidFile = path.join(temp(), 'pid');
      writeFileSync(go, `#!/bin/sh\necho $$ > ${pidFile}\nexec sleep 30\n`, { mode: 0o755 });
      const child = spawn(process.execPath, [...command, '--from', 'build'], {
        cwd: root,
        stdio: 'ignore',
        env: {
          ...process.env,
          KUBEBUILDER_ASSETS: '',
          LINKSPAN_TESTBED_CACHE: temp(),
          LINKSPAN_TESTBED_GO: go,
        },
      });
      const pid = await eventually('Go to run', () => {
        const text = readFileSync(pidFile, 'utf8');
        expect(text).to.match(/\n$/);
        return Number(text);
      });
      child.kill('SIGINT');
      const [code] = await once(child, 'exit');
      expect(code).to.equal(130);
      await eventually('Go to end', () => startTimeOf(pid) === undefined || undefined);
    });
  }

  it('says before it fetches or builds anything that this machine refuses a network namespace', () => {
    const bin = path.join(temp(), 'bin');
    mkdirSync(bin);
    writeFileSync(path.join(bin, 'unshare'), '#!/bin/sh\necho not permitted >&2; exit 1\n', { mode: 0o755 });
    for (const script of [['scripts/test.ts', 'integration'], ['demo/demo.ts']]) {
      const { stderr, status } = spawnSync(
        process.execPath,
        [path.join(root, script[0] ?? ''), ...script.slice(1)],
        {
          encoding: 'utf8',
          cwd: root,
          env: {
            PATH: `${bin}:${process.env['PATH'] ?? ''}`,
            LINKSPAN_TESTBED_CACHE: path.join(temp(), 'cache'),
            LINKSPAN_TESTBED_GO: '/nonexistent',
            LINKSPAN_TESTBED_FROM: 'build',
          },
        },
      );
      expect(stderr).to.match(/^\[TESTBED_NETNS_REFUSED\].*not permitted/);
      expect(status).to.equal(1);
    }
  });

  /**
   * Runs few files of integration tests, which load sooner than all of them, where everything is there but
   * Linkerd's programs, which the module proxy refuses.
   */
  function withoutLinkerd(...args: string[]): { status: number | null; lines: string[] } {
    const assets = path.join(temp(), 'assets');
    mkdirSync(assets);
    for (const name of NEEDS.tests) writeFileSync(path.join(assets, name), '#!/bin/sh\n', { mode: 0o755 });
    const go = path.join(temp(), 'go');
    writeFileSync(go, '#!/bin/sh\necho "proxy: 403 Forbidden" >&2; exit 1\n', { mode: 0o755 });
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [path.join(root, 'scripts/test.ts'), 'integration', LINKERD_PROGRAMS, ...args],
      {
        encoding: 'utf8',
        cwd: root,
        env: {
          ...process.env,
          KUBEBUILDER_ASSETS: assets,
          LINKSPAN_TESTBED_CACHE: path.join(temp(), 'cache'),
          LINKSPAN_TESTBED_GO: go,
        },
      },
    );
    return { status, lines: `${stderr}${stdout}`.trimEnd().split('\n') };
  }

  it('names the tests whose programs cannot be had here, first and last, and does not count them', () => {
    const others = 'test/integration/limits.test.ts';
    const { lines } = withoutLinkerd(others, '--grep', "Linkerd's own programs");
    const named = lines.filter((line) =>
      line.startsWith(`left out:   ${LINKERD_PROGRAMS}: Linkerd's own programs `),
    );
    expect(named).to.have.length.of.at.least(12);
    expect(new Set(named).size).to.equal(named.length / 2);
    expect(lines.at(-2)).to.equal(named.at(-1));
    expect(lines.at(-1)).to.equal('0 passed, 0 failed');
  });

  it('fails over them with --require-all, before any test', () => {
    const { lines, status } = withoutLinkerd('--require-all');
    expect(lines.join('\n')).to.include('[TESTBED_LEFT_OUT]').and.include('403 Forbidden');
    expect(lines.at(-1)).to.equal('0 passed, 1 failed');
    expect(status).to.equal(1);
  });
});
