import { expect } from 'chai';
import { ACTORS, threatModelViolations } from '../../../scripts/check-threat-model.ts';

const row = (shownBy: string) => `| read | write | ${shownBy} |`;
const page = (shownBy: string) =>
  ACTORS.map(
    (actor) => `## ${actor}\n\n| may | must not | shown by |\n| --- | --- | --- |\n${row(shownBy)}\n`,
  ).join('\n');
const FILE = `
// Somebody says another title in a comment, and has a path with words in it.
const dir = 'words-in-a-path';
it('refuses what it\\'s not', …
it.skip('is skipped', …`;
const read = (file: string) => (file === 'test/a.test.ts' ? FILE : undefined);

/** A promise of the threat model that no test holds is a wish. */
describe('the threat model', () => {
  it('is right when every row names a test that is there', () => {
    expect(threatModelViolations(page("[refuses what it's not](../test/a.test.ts)"), read)).to.deep.equal([]);
  });

  it('is refused with a row without a test, a file that is gone, or a title that nobody has', () => {
    for (const [shownBy, said] of [
      ['see the docs', 'is shown by no test'],
      ['[x](../test/gone.test.ts)', 'there is no test/gone.test.ts'],
      ['[another title](../test/a.test.ts)', 'has no test "another title"'],
      // A row was taken for shown because its word stood in the name of a folder.
      ['[words](../test/a.test.ts)', 'has no test "words"'],
      ['[is skipped](../test/a.test.ts)', 'has no test "is skipped"'],
    ] as const) {
      const found = threatModelViolations(page(shownBy), read);
      expect(found, shownBy).to.have.length(ACTORS.length);
      expect(found[0]).to.include(said);
    }
  });

  it('is refused without a section for each actor', () => {
    expect(threatModelViolations('# Threat model', read)).to.have.length(ACTORS.length);
  });
});
