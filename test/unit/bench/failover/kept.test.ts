import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { keepRun, keptRuns } from '../../../../bench/failover/kept.ts';
import type { Run } from '../../../../bench/failover/summary.ts';

const RUN: Run = {
  firstMs: undefined,
  steadyMs: 12.5,
  failed: [{ protocol: 'gRPC', isIdempotent: false, count: 2 }],
  reasons: new Map([['ECONNRESET', 2]]),
  inHand: 3,
  calmMs: 1,
  floorMs: 2,
  slowestMs: 4,
  requests: 600,
  bad: [{ protocol: 'gRPC', isIdempotent: false, dueMs: 1, tookMs: 2, failure: 'ECONNRESET' }],
  extras: [{ what: 'share', unit: 'pt', value: 0.5, must: 1 }],
};

describe('kept runs of bench:failover', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'linkspan-kept-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('are read as they were, by fault and in order, but for the requests one by one', () => {
    const file = path.join(dir, 'runs');
    expect(keptRuns(file)).to.deep.equal(new Map());
    keepRun(file, 'killed', RUN);
    keepRun(file, 'drain', { ...RUN, firstMs: 3 });
    keepRun(file, 'killed', { ...RUN, firstMs: 5 });
    const kept = { ...RUN, bad: [] };
    const [never, three, five] = [undefined, 3, 5].map((firstMs) => ({ ...kept, firstMs }));
    // What is never answered has no line in JSON, which is the same to whoever reads it.
    const { firstMs: _, ...first } = never ?? kept;
    expect(keptRuns(file)).to.deep.equal(
      new Map([
        ['killed', [first, five]],
        ['drain', [three]],
      ]),
    );
  });
});
