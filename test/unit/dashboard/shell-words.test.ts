import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import fc from 'fast-check';
import { commandLine } from '../../../src/dashboard/shell-words.ts';

describe('a command line that people copy', () => {
  it('is what it was for a shell, whatever somebody has called something', () => {
    const word = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !text.includes('\0'));
    fc.assert(
      fc.property(fc.array(word, { maxLength: 4 }), (words) => {
        const line = commandLine('printf', '%s\\0', ...words);
        const out = execFileSync('sh', ['-c', line], { encoding: 'utf8' });
        expect(out.split('\0').slice(0, -1)).to.deep.equal(words.length === 0 ? [''] : words);
      }),
      { numRuns: 25, examples: [[["'; reboot; '", '$(x)', '`x`', '']]] },
    );
  });
});
