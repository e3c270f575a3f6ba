import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

const root = path.join(import.meta.dirname, '../../..');

/**
 * A new beginning was once written over half of `.ci/run`: it ended with a syntax error, and nothing was
 * checked or tested.
 */
describe('continuous integration', () => {
  it('is a script that bash can read to its end', () => {
    const { status, stderr } = spawnSync('bash', ['-n', path.join(root, '.ci/run')], { encoding: 'utf8' });
    expect(stderr).to.equal('');
    expect(status).to.equal(0);
  });

  it('runs that script in the open, and nothing of third parties', () => {
    const workflow = parse(readFileSync(path.join(root, '.github/workflows/ci.yml'), 'utf8')) as {
      jobs: Record<string, { steps: readonly { run?: string; uses?: string }[] }>;
    };
    const steps = Object.values(workflow.jobs).flatMap((job) => job.steps);
    expect(steps.some(({ run }) => run?.endsWith(' .ci/run') === true)).to.equal(true);
    expect(steps.filter(({ uses }) => uses !== undefined)).to.deep.equal([]);
  });
});
