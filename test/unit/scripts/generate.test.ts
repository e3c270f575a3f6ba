import { expect } from 'chai';
import { GENERATED, stale, withPart } from '../../../scripts/generate.ts';

/**
 * Pages that say what the code says were compared by five tests in five ways, each naming another command.
 */
describe('what is generated', () => {
  it('is named when it is not what the code says, with the text that it should have', async () => {
    const files = { 'docs/a.md': 'old', 'docs/b.md': 'good' };
    const all = Object.keys(files).map((file) => ({ file, text: () => 'good' }));
    const found = await stale(all, (file) => files[file as keyof typeof files]);
    expect(found).to.deep.equal([{ file: 'docs/a.md', text: 'good' }]);
  });

  it('may be a part of a page, which keeps the rest', () => {
    const page = 'before\n<!-- x: written by npm run generate -->\nold\n<!-- /x -->\nafter\n';
    expect(withPart(page, 'x', 'new')).to.equal(page.replace('old', 'new'));
    expect(() => withPart('no marks', 'x', 'new')).to.throw(/no <!-- x/);
  });

  it('is in both places of the CRDs, and in no file twice', () => {
    const files = GENERATED.map(({ file }) => file);
    expect(files).to.include.members([
      'crds/links.multicluster.linkerd.io.yaml',
      'charts/linkspan-crds/templates/links.multicluster.linkerd.io.yaml',
    ]);
    expect(new Set(files).size).to.equal(files.length);
  });
});
