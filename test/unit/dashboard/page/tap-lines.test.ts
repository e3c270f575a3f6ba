import { expect } from 'chai';
import type { TapLine } from '../../../../src/dashboard/answers.ts';
import { MOST_LINES, tapRow, withRows } from '../../../../src/dashboard/page/tap-lines.ts';

type Flow = Extract<TapLine['event'], { type: 'flow' | 'open' }>;

const flow = (id: string, more: Partial<Flow> = {}): Flow => ({
  v: 1,
  type: 'flow',
  id,
  at: 1000,
  process: 'egress',
  side: 'source',
  client: { address: '10.0.0.7', proven: false },
  target: { name: 'web', namespace: 'shop', port: '80', mirror: 'web', cluster: 'west' },
  protocol: 'http2',
  method: 'GET',
  path: '/cart',
  status: 200,
  bytesIn: 0,
  bytesOut: 91,
  totalMs: 13,
  ...more,
});
const row = (id: string, more: Partial<Flow> = {}) => tapRow(flow(id, more), 'egress-1', 'east');

describe('lines of a tap', () => {
  it('say who asked whom, and what went wrong', () => {
    const seen = row('1', {
      failure: 'failfast',
      reason: 'no ready endpoints',
      status: 503,
      fault: 'abort 10%',
    });
    expect(seen).to.include({ client: '10.0.0.7', target: 'shop/web:80', cluster: 'west', failing: true });
    expect(seen.word).to.equal('failfast: no ready endpoints: fault: abort 10%');
    expect(row('2').failing).to.equal(false);
    expect(row('3', { status: 500 }).failing).to.equal(true);
    expect(
      row('4', { status: undefined, method: undefined, path: undefined, protocol: 'opaque' }),
    ).to.include({
      method: 'opaque',
      status: '',
      path: '',
    });
  });

  it('have the newest first, and what was open once, as it ended', () => {
    const before = withRows([], [row('1', { type: 'open' }), row('2')]);
    const after = withRows(before, [row('3'), row('1')]);
    expect(after.map(({ key, isOpen }) => [key.split(' ')[2], isOpen])).to.deep.equal([
      ['1', false],
      ['3', false],
      ['2', false],
    ]);
  });

  it('are no more than a screen needs, however many come', () => {
    const many = Array.from({ length: MOST_LINES + 50 }, (_, at) => row(String(at)));
    const kept = withRows(many, [row('last')]);
    expect(kept).to.have.length(MOST_LINES);
    expect(kept[0]?.key).to.equal('east egress-1 last');
  });
});
