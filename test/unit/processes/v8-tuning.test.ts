import { expect } from 'chai';
import { execFileSync } from 'node:child_process';

const TUNING = new URL('../../../src/processes/v8-tuning.ts', import.meta.url).href;

// A controller that favours size from its first moment collects 60 times while it starts; one that never does
// keeps what its start has made V8 take.
describe('what a start has made V8 take', () => {
  it('is given back when the start is over, and not before', () => {
    const script = `
      const { giveBackAfterStart } = await import(${JSON.stringify(TUNING)});
      const v8 = await import('node:v8');
      const young = () => v8.getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space').space_size;
      let kept = [];
      const start = () => {
        for (let round = 0; round < 20; round++) kept = Array.from({ length: 100_000 }, (_, nth) => ({ nth }));
      };
      let over;
      giveBackAfterStart({ now: () => 0, after: (ms, fn) => { over = fn; return { cancel() {} }; } });
      start();
      const [before, heapBefore] = [young(), process.memoryUsage().heapTotal];
      kept = [];
      over();
      console.log(JSON.stringify({ before, after: young(), heapBefore, heapAfter: process.memoryUsage().heapTotal, gc: typeof globalThis.gc }));`;
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    const { before, after, heapBefore, heapAfter, gc } = JSON.parse(said) as Record<string, number>;
    expect(before).to.be.above(8 * 1024 * 1024);
    expect(after).to.be.below(Number(before) / 3);
    expect(heapAfter).to.be.below(Number(heapBefore) - 8 * 1024 * 1024);
    expect(gc).to.equal('undefined');
  });
});
