import { expect } from 'chai';
import {
  afterKey,
  type Key,
  TOP_BEGINS,
  topLines,
  type TopState,
} from '../../../../src/cli/output/top-screen.ts';
import { withNames } from '../../../../src/traffic/cluster-reading.ts';
import { edgeRows } from '../../../../src/traffic/edge-rows.ts';
import { twoClusters } from '../../../support/traffic-readings.ts';

const PAGE = 10;
const key = (text: string, name = text, ctrl = false): Key => ({ text, name, ctrl });

/** The state after these keys; `undefined` when it is over. */
function after(keys: readonly Key[], from: TopState = TOP_BEGINS): TopState | undefined {
  let state: TopState | undefined = from;
  for (const one of keys) if (state !== undefined) state = afterKey(state, one, PAGE);
  return state;
}

describe('the screen of top', () => {
  for (const [what, keys, change] of [
    ['s goes through all orders', ['s', 's'], { sort: 'rps' }],
    ['and begins anew', ['s', 's', 's', 's', 's'], { sort: 'failing' }],
    ['p holds, and goes on', ['p'], { paused: true }],
    ['twice', ['p', 'p'], { paused: false }],
    ['? helps', ['?'], { help: true }],
    ['/ takes what is typed, q too', ['/', 'q', 's'], { filter: 'qs', typing: true, sort: 'failing' }],
    ['any other key does nothing', ['x', ''], {}],
  ] as const)
    it(what, () => {
      expect(after(keys.map((text) => key(text)))).to.deep.equal({ ...TOP_BEGINS, ...change });
    });

  it('moves by rows and pages, and not above the first', () => {
    const of = (...names: readonly string[]) => after(names.map((name) => key('', name)))?.offset;
    expect(of('down', 'down', 'up')).to.equal(1);
    expect(of('pagedown', 'down')).to.equal(11);
    expect(of('up', 'pageup')).to.equal(0);
    expect(of('pagedown', 'home')).to.equal(0);
  });

  it('keeps a filter with Enter, clears it with Esc, and takes no control characters', () => {
    const typed = [key('/'), key('w'), key('e'), key('\u001b[2J', 'x'), key('x'), key('\u007f', 'backspace')];
    expect(after([...typed, key('\r', 'return')])).to.include({ filter: 'we[2J', typing: false });
    expect(after([...typed, key('\u001b', 'escape')])).to.include({ filter: '', typing: false });
    expect(after([key('/'), ...Array.from({ length: 99 }, () => key('a'))])?.filter).to.have.length(64);
  });

  it('ends with q, and with Ctrl-C also where it would be typed', () => {
    expect(after([key('q')])).to.equal(undefined);
    expect(after([key('\u0003', 'c', true)])).to.equal(undefined);
    expect(after([key('/'), key('\u0003', 'c', true)])).to.equal(undefined);
  });

  const rows = edgeRows(withNames(twoClusters()));
  const picture = { rows, notes: ['no answer from east/egress-1'], windowMs: 10_000, columns: 80, lines: 24 };

  it('shows what fails first, and who did not answer', () => {
    const [status, head, first, ...more] = topLines(TOP_BEGINS, picture);
    expect(status).to.equal('5 pairs, 2 failing, 26.0 rps  by failing  ? for keys');
    expect(head).to.match(/^SRC +DST +CLUSTER +SUCCESS +RPS +OPEN +REASON$/);
    expect(first).to.match(/^egress\.east/);
    expect(more.at(-1)).to.equal('! no answer from east/egress-1');
  });

  it('filters, scrolls and helps', () => {
    const own = topLines({ ...TOP_BEGINS, filter: 'SLOW', typing: true }, picture);
    expect(own[0]).to.contain('/SLOW_');
    expect(own.filter((line) => line.includes('slow-west'))).to.have.length(1);
    expect(own.filter((line) => line.includes('web'))).to.have.length(0);
    expect(topLines({ ...TOP_BEGINS, offset: 99 }, picture)[2]).to.match(/^10\.1\.0\.9/);
    expect(topLines({ ...TOP_BEGINS, help: true }, picture)[1]).to.match(/^q +end$/);
  });

  it('says who did not answer, however many rows there are, and nothing of traffic that nobody has told of', () => {
    const many = Array.from({ length: 99 }, () => rows).flat();
    expect(topLines(TOP_BEGINS, { ...picture, rows: many }).at(-1)).to.match(/^! no answer/);
    expect(topLines(TOP_BEGINS, { ...picture, rows: undefined, notes: ['asking …'] }).slice(1)).to.deep.equal(
      ['! asking …'],
    );
    expect(topLines({ ...TOP_BEGINS, filter: 'zz' }, picture)[1]).to.equal('No name has this in it.');
    expect(topLines(TOP_BEGINS, { ...picture, rows: [] })[1]).to.equal('No traffic in the last 10s.');
  });

  it('never has more lines or columns than the terminal', () => {
    for (const [columns, lines] of [
      [40, 10],
      [10, 3],
      [1, 1],
    ] as const) {
      const shown = topLines({ ...TOP_BEGINS, filter: '' }, { ...picture, columns, lines });
      expect(shown.length).to.be.at.most(Math.max(1, lines - 1));
      for (const line of shown) expect(line.length).to.be.at.most(columns);
    }
  });
});
