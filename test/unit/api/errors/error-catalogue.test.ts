import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { catalogue } from '../../../../src/api/errors/error-catalogue.ts';

const root = path.join(import.meta.dirname, '../../../..');

describe('error catalogue', () => {
  it('has no code that nothing uses', () => {
    const sources = [...sourcesUnder('src'), ...sourcesUnder('bin')].filter(
      (file) => !/api\/errors\/(?:error-catalogue|identity-errors)\.ts$/.test(file),
    );
    const text = sources.map((file) => readFileSync(file, 'utf8')).join('\n');
    const unused = Object.keys(catalogue).filter((code) => !new RegExp(`\\b${code}\\b`).test(text));
    expect(unused).to.deep.equal([]);
  });

  it('ends every fix with a full stop, because messages are put before it', () => {
    for (const [code, { fix, meaning }] of Object.entries(catalogue)) {
      expect(fix, code).to.match(/\.$/);
      expect(meaning, code).to.match(/\.$/);
    }
  });
});

function sourcesUnder(folder: string): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|js)$/.test(file))
    .map((file) => path.join(root, folder, file));
}
