import { expect } from 'chai';
import { ACTORS, threatModelViolations } from '../../../scripts/check-threat-model.ts';

const row = (shownBy: string) => `| read | write | ${shownBy} |`;
const page = (shownBy: string) =>
  ACTORS.map(
    (actor) => `## ${actor}\n\n| may | must not | shown by |\n| --- | --- | --- |\n${row(shownBy)}\n`,
  ).join('\n');
const read = (file: string) => (file === 'test/a.test.ts' ? "it('refuses what it\\'s not', …" : undefined);

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
