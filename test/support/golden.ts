import { expect } from 'chai';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.join(import.meta.dirname, '../golden');

/**
 * Compares with a file below test/golden; `UPDATE_GOLDEN=1` writes it instead, for a person to look at the
 * difference in git.
 */
export function expectGolden(name: string, actual: string): void {
  const file = path.join(ROOT, name);
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, actual);
  }
  expect(actual, `${name} (UPDATE_GOLDEN=1 rewrites it)`).to.equal(readFileSync(file, 'utf8'));
}
