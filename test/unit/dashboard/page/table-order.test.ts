import { expect } from 'chai';
import {
  failingFirst,
  orderedRows,
  readOrdering,
  shownSlice,
  writeOrdering,
} from '../../../../src/dashboard/page/table-order.ts';

const COLUMNS = [
  { key: 'name', sort: ({ name }: Row) => name },
  { key: 'rps', sort: ({ rps }: Row) => rps },
];

interface Row {
  readonly name: string;
  readonly rps: number | null;
  readonly failing: boolean;
}

const row = (name: string, rps: number | null, failing = false): Row => ({ name, rps, failing });
const ROWS = [row('b', 5), row('a', null), row('c', 9)].map((one) => [one.name, one] as const);
const namesBy = (word: string) =>
  orderedRows(ROWS, COLUMNS, readOrdering(word))
    .map(([, { name }]) => name)
    .join('');

describe('the order of tables', () => {
  it('is as rows come, or by a column, with what has no value at the end either way', () => {
    expect(namesBy('')).to.equal('bac');
    expect(namesBy('name')).to.equal('abc');
    expect(namesBy('-name')).to.equal('cba');
    expect(namesBy('rps')).to.equal('bca');
    expect(namesBy('-rps')).to.equal('cba');
    expect(namesBy('there-is-none')).to.equal('bac');
  });

  it('goes round by clicks: one way, the other, as they come; numbers from the greatest', () => {
    const round = (key: string, isNumber: boolean) => {
      const words = [''];
      for (let click = 0; click < 3; click++)
        words.push(writeOrdering(readOrdering(words.at(-1) ?? ''), key, isNumber));
      return words.slice(1);
    };
    expect(round('name', false)).to.deep.equal(['name', '-name', '']);
    expect(round('rps', true)).to.deep.equal(['-rps', 'rps', '']);
    expect(writeOrdering(readOrdering('-rps'), 'name', false)).to.equal('name');
  });

  it('has what fails first, then the busiest', () => {
    const table = { a: row('a', 1), b: row('b', 100), c: row('c', 2, true), d: row('d', null) };
    expect(failingFirst(table).map(([key]) => key)).to.deep.equal(['c', 'b', 'a', 'd']);
    expect(failingFirst(table, ({ failing }) => !failing)).to.have.length(3);
  });

  it('draws what is seen and a little around it, at the end as well', () => {
    const seen = (top: number, total = 1000) => shownSlice(total, { top, height: 360, row: 36, margin: 5 });
    expect(seen(0)).to.deep.equal({ from: 0, to: 20 });
    expect(seen(3600)).to.deep.equal({ from: 95, to: 120 });
    expect(seen(1e9)).to.deep.equal({ from: 985, to: 1000 });
    // Fewer rows than before, and still scrolled.
    expect(seen(3600, 4)).to.deep.equal({ from: 0, to: 4 });
  });
});
