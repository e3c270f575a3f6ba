import { readFileSync } from 'node:fs';
import path from 'node:path';

/** Path of a file of testdata/; how each was made is in its make.sh. */
export function testdata(name: string): string {
  return path.join(import.meta.dirname, 'testdata', name);
}

export function bytesOf(name: string): Buffer {
  return readFileSync(testdata(name));
}
