import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { readPageFiles } from '../../../src/dashboard/page-files.ts';

const FOLDER = path.resolve(import.meta.dirname, '../../../src/dashboard/page');
/** What the page may weigh in all, bytes, compressed. */
const MOST_BYTES = 100_000;

describe('what the page is made of', () => {
  it('is no more than 100 kB, libraries and charts and all', async () => {
    const { files, index } = await readPageFiles();
    const all = [...files.values(), index];
    const bytes = all.map(({ body, gzip }) => (gzip ?? gzipSync(body)).length);
    expect(bytes.reduce((sum, one) => sum + one, 0)).to.be.lessThan(MOST_BYTES);
  });

  it('sets no markup and no style from text, which its policy forbids', () => {
    const forbidden =
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\bstyle="|style=\$\{`|new Function|\beval\(/;
    const files = readdirSync(FOLDER).filter((file) => /\.(?:ts|html)$/.test(file));
    expect(
      files.filter((file) => forbidden.test(readFileSync(path.join(FOLDER, file), 'utf8'))),
    ).to.deep.equal([]);
    expect(files.length).to.be.greaterThan(30);
  });
});
