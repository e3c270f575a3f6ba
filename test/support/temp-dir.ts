import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Makes a directory for the test that runs now; gone after it. Call inside `describe`. */
export function useTempDir(): () => string {
  let dir = '';
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'linkspan-test-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));
  return () => dir;
}
