import { expect } from 'chai';
import type { Demands } from '../../../../bench/failover/faults.ts';
import { rowOf, type Run, spreadOf, tableOf } from '../../../../bench/failover/summary.ts';
import { withTable } from '../../../../bench/failover/page.ts';

const fine: Run = {
  firstMs: 5,
  steadyMs: 0,
  failed: [],
  reasons: new Map(),
  inHand: 2,
  calmMs: 9,
  floorMs: 3,
  slowestMs: 12,
  requests: 600,
  bad: [],
  extras: [],
};
const failing = (isIdempotent: boolean, count: number): Run => ({
  ...fine,
  failed: [{ protocol: 'HTTP/2', isIdempotent, count }],
  reasons: new Map([['502', count]]),
});
const row = (demands: Demands, ...runs: readonly Run[]) =>
  rowOf({ name: 'killed', title: 'gateway killed', demands }, runs);

describe('a row of the table of failover', () => {
  it('has the middle, the 99th of a hundred and the worst', () => {
    const values = Array.from({ length: 200 }, (_, index) => 200 - index);
    expect(spreadOf(values)).to.deep.equal({ p50: 100, p99: 198, worst: 200 });
    expect(spreadOf([7])).to.deep.equal({ p50: 7, p99: 7, worst: 7 });
  });

  it('adds failed requests up by protocol', () => {
    const { failed, reasons } = row({ mayFail: 'any' }, failing(false, 2), fine, failing(false, 3));
    expect(failed).to.deep.equal([{ protocol: 'HTTP/2', isIdempotent: false, count: 5 }]);
    expect(reasons.get('502')).to.equal(5);
  });

  for (const [what, demands, run, misses] of [
    ['nothing at all', { mayFail: 'none' }, failing(false, 1), ['nothing failed']],
    ['what was in hand', { mayFail: 'in hand' }, failing(false, 2), []],
    ['more than that', { mayFail: 'in hand' }, failing(false, 3), ['no more failed than was in hand']],
    ['what may be sent twice', { mayFail: 'in hand' }, failing(true, 1), ['nothing idempotent failed']],
    ['the others in a silence', { mayFail: 'not idempotent' }, failing(false, 99), []],
    ['anything', { mayFail: 'any' }, failing(true, 99), []],
  ] as const)
    it(`judges what may fail: ${what}`, () => expect(row(demands, fine, run).misses).to.deep.equal(misses));

  it('is judged by the middle of the times, and by every answer', () => {
    const demands = { firstMs: 50, steadyMs: 250, mayFail: 'none' } as const;
    const late = { ...fine, firstMs: 80, steadyMs: 300 };
    expect(row(demands, fine, fine, late).misses).to.deep.equal([]);
    expect(row(demands, fine, late, late).misses).to.deep.equal(['first success ≤ 50 ms', 'steady ≤ 250 ms']);
    expect(row(demands, fine, fine, { ...fine, firstMs: undefined }).misses).to.deep.equal([
      'first success ≤ 50 ms',
    ]);
  });

  it('takes the mean of shares, as one run has too few requests', () => {
    const off = (value: number): Run => ({ ...fine, extras: [{ what: 'west', unit: 'pt', value, must: 1 }] });
    expect(row({ mayFail: 'none' }, off(4), off(-3)).misses).to.deep.equal([]);
    expect(row({ mayFail: 'none' }, off(4), off(-1)).misses).to.deep.equal(['west: 1.5 pt']);
  });

  it('stands in the page between its marks', () => {
    const page =
      'a\n<!-- figures: written by npm run bench:failover -- --write -->\nold\n<!-- /figures -->\nz\n';
    const rows = [row({ firstMs: 50, mayFail: 'none' }, fine)];
    const written = withTable(page, {
      command: 'npm run bench:failover',
      machine: 'two CPUs',
      date: new Date(0),
      rows,
    });
    expect(written).to.contain(tableOf(rows)).and.to.contain('1970-01-01 on two CPUs, 1 runs');
    expect(written)
      .to.match(/^a\n<!-- /)
      .and.to.match(/\nz\n$/)
      .and.not.to.contain('old');
    expect(() => withTable('no marks', { command: '', machine: '', date: new Date(0), rows })).to.throw(
      'has no',
    );
  });
});
