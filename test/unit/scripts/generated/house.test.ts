import { expect } from 'chai';
import { houseText } from '../../../../scripts/generated/house.ts';

const header = (folder: string) =>
  `# src${folder}\n\nFor ${folder}.\n\n**Knows:** nothing.\n\n**Start with:** \`a.ts\`.\n`;

/** The page that draws the house was kept by hand: folders that had moved stood in it for weeks. */
describe('the house section', () => {
  it('lists folders from the top layer down, each below the one that it is in, and links their headers', () => {
    const tree = new Map(
      ['', '/base', '/proxy', '/proxy/http', '/proxy/downstream', '/cli'].flatMap((folder) => [
        [`${folder}/README.md`.slice(1), header(folder)] as const,
        [`${folder}/a.ts`.slice(1), ''] as const,
      ]),
    );
    const lines = houseText(tree).split('\n');
    expect(lines.slice(0, 5)).to.deep.equal([
      '- [`cli/`](../src/cli/README.md): For /cli.',
      '- [`proxy/`](../src/proxy/README.md): For /proxy.',
      '  - [`proxy/downstream/`](../src/proxy/downstream/README.md): For /proxy/downstream.',
      '  - [`proxy/http/`](../src/proxy/http/README.md): For /proxy/http.',
      '- [`base/`](../src/base/README.md): For /base.',
    ]);
    expect(lines.find((line) => line.includes('Imports point down only'))).to.match(
      /`cli\b[^`]*` → .* `base`/,
    );
  });

  it('is not written while a folder has no header', () => {
    expect(() => houseText(new Map([['x/a.ts', '']]))).to.throw(/src\/x has no README\.md/);
  });
});
