/**
 * Takes out of an image's folder what no process reads, types, source maps, texts:
 * `node scripts/trim-image.ts DIR`. Licences stay. The Dockerfile and `image:context` both run it.
 */
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';

const UNREAD = /\.(d\.[cm]?ts|[cm]?ts|map|md|markdown|flow)$/i;

/** @returns how many files went */
export function trim(root: string): number {
  let removed = 0;
  for (const part of ['dist', 'node_modules']) {
    for (const entry of readdirSync(path.join(root, part), { recursive: true, withFileTypes: true })) {
      const kept = !UNREAD.test(entry.name) || /^(licen[cs]e|notice)/i.test(entry.name);
      if (!entry.isFile() || kept) continue;
      rmSync(path.join(entry.parentPath, entry.name));
      removed++;
    }
  }
  return removed;
}

if (import.meta.main) {
  const root = process.argv[2];
  if (root === undefined) throw new Error('give the folder: node scripts/trim-image.ts DIR');
  process.stdout.write(`${trim(root)} files that nothing reads taken out of ${root}\n`);
}
