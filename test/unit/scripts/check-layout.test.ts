import { expect } from 'chai';
import { layoutViolations } from '../../../scripts/check-layout.ts';

describe('where files stand', () => {
  it('lets tests stand where their subjects do, whether file, folder or one behaviour of these', () => {
    expect(
      layoutViolations([
        'src/a/b.ts',
        'src/a/c/d.ts',
        'scripts/x.ts',
        'test/unit/a/b.test.ts',
        'test/unit/a/b.when-it-rains.test.ts',
        'test/unit/a/c.test.ts',
        'test/unit/scripts/x.test.ts',
        'test/unit/repo/whole.test.ts',
      ]),
    ).to.deep.equal([]);
  });

  // A file moves and its test stays: who looks for the test of what is there now finds none.
  it('finds tests that were left behind', () => {
    expect(
      layoutViolations(['src/new/b.ts', 'test/unit/old/b.test.ts', 'test/unit/old/b.rain.test.ts']),
    ).to.deep.equal([
      'test/unit/old/b.test.ts: there is no src/old/b.ts, nor a folder of that name',
      'test/unit/old/b.rain.test.ts: there is no src/old/b.ts, nor a folder of that name',
    ]);
  });

  it('refuses one name for two files of src, but for verbs', () => {
    const files = ['src/a/metrics.ts', 'src/b/metrics.ts', 'src/cli/commands/check.ts', 'src/check/check.ts'];
    expect(layoutViolations(files)).to.deep.equal([
      'metrics.ts is the name of src/a/metrics.ts and of src/b/metrics.ts',
    ]);
  });
});
