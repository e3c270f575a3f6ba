import { expect } from 'chai';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { chosenFiles, readArguments, suiteOf } from '../../../../scripts/testing/arguments.ts';
import { useTempDir } from '../../../support/temp-dir.ts';

describe('arguments of npm test', () => {
  const temp = useTempDir();

  /** A checkout with two files in each suite. */
  function checkout(): string {
    for (const suite of ['unit', 'wire', 'integration'])
      for (const file of ['a', 'deep/b']) {
        mkdirSync(path.join(temp(), 'test', suite, 'deep'), { recursive: true });
        writeFileSync(path.join(temp(), 'test', suite, `${file}.test.ts`), '');
      }
    return temp();
  }

  /** What runs, as `suite: file file`. */
  function chosen(...args: string[]): string[] {
    const root = checkout();
    return [...chosenFiles(readArguments(args, root), root)].map(
      ([suite, files]) => `${suite}: ${files.join(' ')}`,
    );
  }

  const both = (suite: string) => `${suite}: test/${suite}/a.test.ts test/${suite}/deep/b.test.ts`;

  it('are everything, when there are none', () => {
    expect(chosen()).to.deep.equal([both('unit'), both('wire'), both('integration')]);
  });

  for (const [word, suites] of [
    ['unit', ['unit', 'wire']],
    ['wire', ['wire']],
    ['integration', ['integration']],
    ['fast', ['unit']],
  ] as const)
    it(`choose a part by the word ${word}`, () => {
      expect(chosen(word)).to.deep.equal(suites.map(both));
    });

  it('name files, folders and globs, whatever suite they are of', () => {
    expect(
      chosen('test/wire/a.test.ts', 'test/unit/deep', '--spec', 'test/integration/*.test.ts'),
    ).to.deep.equal([
      'wire: test/wire/a.test.ts',
      'unit: test/unit/deep/b.test.ts',
      'integration: test/integration/a.test.ts',
    ]);
  });

  it('take a path from the root of the machine for what it is', () => {
    const root = checkout();
    const asked = readArguments([path.join(root, 'test/wire/a.test.ts')], root);
    expect([...chosenFiles(asked, root)]).to.deep.equal([['wire', ['test/wire/a.test.ts']]]);
    expect(suiteOf('/elsewhere/test/wire/a.test.ts')).to.equal('unit');
  });

  it('leave files out', () => {
    expect(chosen('wire', '--ignore', 'test/wire/a*', '--exclude=./test/wire/none*')).to.deep.equal([
      'wire: test/wire/deep/b.test.ts',
    ]);
  });

  it('hand the rest on to mocha, with values that look like files', () => {
    const { files, options } = readArguments(
      ['unit', '--grep', 'test/unit/a.test.ts', '--bail', '-t', '5'],
      checkout(),
    );
    expect(options).to.deep.equal(['--grep', 'test/unit/a.test.ts', '--bail', '-t', '5']);
    expect(files).to.deep.equal([]);
  });

  it('know the flags of the runner', () => {
    const asked = readArguments(['--shards=3', '--require-all', '--record', '--retries', '1'], temp());
    expect(asked).to.include({ shards: 3, requireAll: true, record: true, fast: false });
    expect(asked.options).to.deep.equal(['--retries', '1']);
    expect(readArguments(['fast', '--shards', '12'], temp())).to.include({
      shards: 12,
      fast: true,
      record: false,
    });
  });

  for (const args of [['--shards', 'many'], ['--shards'], ['--shards=0'], ['test/unit/not-there.test.ts']])
    it(`explain what cannot be: ${args.join(' ')}`, () => {
      expect(() => readArguments(args, temp()))
        .to.throw()
        .with.property('code', 'TESTBED_BAD_FLAG');
    });
});
