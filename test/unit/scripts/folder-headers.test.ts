import { expect } from 'chai';
import { folderHeaders } from '../../../scripts/folder-headers.ts';

const header = (folder: string, start = 'a.ts') =>
  `# ${folder}\n\nWhat it is for,\nin \`a.ts\`. And more.\n\n**Knows:** nothing.\n\n**Start with:** \`${start}\`.\n`;

/**
 * A stranger opens a folder of thirty files and has to guess where to begin, and what may be imported there.
 */
describe('the header of a folder', () => {
  it('gives its first sentence, of each folder of src/ and of src/ itself', () => {
    const tree = new Map([
      ['README.md', header('src', 'x/y/a.ts')],
      ['x/README.md', header('src/x', 'y/a.ts')],
      ['x/y/README.md', header('src/x/y')],
      ['x/y/a.ts', ''],
    ]);
    const purpose = 'What it is for, in `a.ts`.';
    expect(folderHeaders(tree)).to.deep.equal({
      headers: ['', 'x', 'x/y'].map((folder) => ({ folder, purpose })),
      problems: [],
    });
  });

  it('is missed in every folder that has none, also where there are only folders', () => {
    const { problems } = folderHeaders(new Map([['x/y/a.ts', '']]));
    expect(problems.map((line) => line.split(' has no README.md: ')[0])).to.deep.equal([
      'src',
      'src/x',
      'src/x/y',
    ]);
    expect(problems[2]).to.include('**Knows:**').and.to.include('**Start with:**');
  });

  for (const [what, text, problem] of [
    ['another title', header('src/z'), 'must begin with "# src"'],
    ['no sentence', '# src\n\nword\n\n**Knows:** n.\n\n**Start with:** `a.ts`.\n', 'must say in sentences'],
    ['nothing of what it knows', '# src\n\nFor a.\n\n**Start with:** `a.ts`.\n', 'what the folder may know'],
    ['no beginning', '# src\n\nFor a.\n\n**Knows:** n.\n', 'must say where to begin'],
    ['a beginning that has moved away', header('src', 'gone.ts'), 'a file that is not in the folder'],
    ['too much to say', header('src').replace('more', 'more\n'.repeat(12)), 'lines; 16 are enough'],
    ['a line that is too wide', header('src').replace('more', 'm'.repeat(111)), 'longer than 110 columns'],
  ] as const) {
    it(`is refused with ${what}`, () => {
      const { problems } = folderHeaders(
        new Map([
          ['README.md', text],
          ['a.ts', ''],
        ]),
      );
      expect(problems).to.have.length(1);
      expect(problems[0]).to.include(problem);
    });
  }
});
