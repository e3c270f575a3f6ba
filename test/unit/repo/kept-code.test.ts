import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { linkspanEnv, root } from '../../support/runtime-process.ts';
import { useTempDir } from '../../support/temp-dir.ts';

const BIN = path.join(root, 'bin/linkspan.js');

describe('compiled code that is kept for the next start', () => {
  const dir = useTempDir();

  /** How often V8 took what was kept of a module, and how often it threw it away. */
  function start(verb: string): { accepted: number; rejected: number } {
    const env = { ...linkspanEnv(), TMPDIR: dir(), NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };
    const options = { env, encoding: 'utf8', maxBuffer: 2 ** 26 } as const;
    const { stdout, stderr, status } = spawnSync(process.execPath, [BIN, verb, '--help'], options);
    expect(status, stderr).to.equal(0);
    const said = stdout + stderr;
    const count = (what: string) => said.split(` was ${what}`).length - 1;
    return { accepted: count('accepted'), rejected: count('rejected') };
  }

  // V8 takes only what was compiled with its own flags, and `gateway` and `egress` have one of their own: in
  // one folder each start after one of the other kind compiled again, for a quarter of its CPU.
  it('serves verbs that carry traffic and others in turn', () => {
    for (const verb of ['gateway', 'check']) start(verb);
    for (const verb of ['gateway', 'check']) {
      const { accepted, rejected } = start(verb);
      expect(accepted, verb).to.be.greaterThan(100);
      expect(rejected, verb).to.equal(0);
    }
  });
});
