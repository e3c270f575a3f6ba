import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.join(import.meta.dirname, '../../..');
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

// Tests run controllers, signers and egresses within their own process. Ten seconds after the first of them
// V8 favoured size there until the end: text of tenants took 75 s of CPU to read instead of 9.
describe('what V8 is told', () => {
  it('is told by verbs of their own process, not by what a test runs within its own', () => {
    const tellers = globSync('src/**/*.ts', { cwd: ROOT }).filter((file) =>
      /\b(?:setFlagsFromString|tuneForTraffic|giveBackAfterStart)\(/.test(
        readFileSync(path.join(ROOT, file), 'utf8'),
      ),
    );
    expect(tellers.toSorted()).to.deep.equal([
      ...['controller', 'egress', 'gateway', 'signer'].map((verb) => `src/cli/commands/${verb}.ts`),
      'src/processes/v8-tuning.ts',
    ]);
  });
});
