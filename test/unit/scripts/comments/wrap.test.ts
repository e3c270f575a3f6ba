import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { codeOf } from '../../../../scripts/comments/scanner.ts';
import { WIDTH, wideComments, wrapComments } from '../../../../scripts/comments/wrap.ts';

const long = 'word '.repeat(30).trim();
const [first, rest] = ['word '.repeat(21).trim(), 'word '.repeat(9).trim()];

describe('comments of a file', () => {
  it('of one line get as many as they need, with their tags on lines of their own', () => {
    expect(wrapComments(`/** ${long} @throws X */\nf();\n`)).to.equal(
      `/**\n * ${first}\n * ${rest}\n * @throws X\n */\nf();\n`,
    );
    expect(wrapComments(`  // ${long}\n  // more\n`)).to.equal(`  // ${first}\n  // ${rest} more\n`);
    expect(wrapComments(`/* ${long} */`)).to.equal(`/*\n * ${first}\n * ${rest}\n */`);
  });

  it('of many lines keep those paragraphs that fit', () => {
    const text = `class A {\n  /**\n   * ${long}\n   *\n   * a\n   * b\n   */\n  x = 1;\n}\n`;
    const wrapped = `class A {\n  /**\n   * ${first}\n   * ${rest}\n   *\n   * a\n   * b\n   */\n  x = 1;\n}\n`;
    expect(wrapComments(text)).to.equal(wrapped);
    expect(wrapComments(wrapped)).to.equal(wrapped);
    expect(wideComments(text)).to.deep.equal([2]);
    expect(wideComments(wrapped)).to.deep.equal([]);
  });

  it('behind code go above it', () => {
    expect(wrapComments(`  f(); // ${long}\n`)).to.equal(`  // ${first}\n  // ${rest}\n  f();\n`);
  });

  for (const [what, text] of [
    ['for programs', `// oxlint-disable-next-line max-params -- ${long}\nf();`],
    ['without stars, which are pictures', `/*\n${long}\n*/\n`],
    ['in strings', `const a = \`\n// ${long}\n\`;\n`],
    ['that cannot be broken', `// https://example.com/${'x'.repeat(120)}\n`],
    ['within code', `f(/* ${long} */ 1);\n`],
  ]) {
    it(`${what} stay`, () => expect(wrapComments(text ?? '')).to.equal(text));
  }

  // Whoever runs it over the tree must be able to trust it without reading the difference.
  it('of this repository can be wrapped without changing code, and then stay as they are', () => {
    const root = path.join(import.meta.dirname, '../../../..');
    for (const folder of ['src/proxy', 'scripts'])
      for (const file of readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })) {
        if (!file.endsWith('.ts')) continue;
        const text = readFileSync(path.join(root, folder, file), 'utf8');
        const wrapped = wrapComments(text);
        expect(codeOf(wrapped), file).to.equal(codeOf(text));
        expect(wrapComments(wrapped), file).to.equal(wrapped);
        expect(wideComments(wrapped), `${file}, ${WIDTH} columns`).to.deep.equal([]);
      }
  });
});
