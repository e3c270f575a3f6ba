import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { reasonsPage } from '../../../scripts/docs-reasons.ts';

describe('reasons', () => {
  it('are what docs/reference/reasons.md says', () => {
    const page = readFileSync(path.join(import.meta.dirname, '../../../docs/reference/reasons.md'), 'utf8');
    expect(page, 'run `npm run docs:reasons`').to.equal(reasonsPage());
  });
});
