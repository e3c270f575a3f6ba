import { expect } from 'chai';
import fc from 'fast-check';
import { layoutMap, NODE } from '../../../../src/dashboard/page/map-layout.ts';

const link = (source: string, target: string) => ({ key: `${source}→${target}`, source, target });
const nodes = (...keys: readonly string[]) => keys.map((key) => ({ key }));

function placed(keys: readonly string[], links: readonly (readonly [string, string])[]) {
  const layout = layoutMap(
    nodes(...keys),
    links.map(([source, target]) => link(source, target)),
  );
  return { layout, at: new Map(layout.nodes.map((node) => [node.key, node])) };
}

describe('the layout of the map', () => {
  it('puts clusters to the right of those that link them', () => {
    const { at } = placed(
      ['a', 'b', 'c'],
      [
        ['a', 'b'],
        ['b', 'c'],
      ],
    );
    const [a, b, c] = ['a', 'b', 'c'].map((key) => at.get(key)?.x ?? Number.NaN);
    expect(a).to.be.lessThan(b ?? 0);
    expect(b).to.be.lessThan(c ?? 0);
  });

  it('draws two lines that stand apart where two clusters link each other', () => {
    const { layout } = placed(
      ['east', 'west'],
      [
        ['east', 'west'],
        ['west', 'east'],
      ],
    );
    const [there, back] = layout.edges;
    expect(there?.tip.towards).to.equal(1);
    expect(back?.tip.towards).to.equal(-1);
    expect(Math.abs((there?.at.y ?? 0) - (back?.at.y ?? 0))).to.be.greaterThan(22);
  });

  it('begins with the cluster that links most, where it is linked back as well', () => {
    const { at } = placed(
      ['a', 'b', 'hub'],
      [
        ['hub', 'a'],
        ['hub', 'b'],
        ['a', 'hub'],
      ],
    );
    expect(at.get('hub')?.x).to.equal(Math.min(...[...at.values()].map(({ x }) => x)));
  });

  it('leaves out lines to what is not there, and to itself', () => {
    const { layout } = placed(
      ['a'],
      [
        ['a', 'a'],
        ['a', 'gone'],
      ],
    );
    expect(layout.edges).to.deep.equal([]);
  });

  it('lets no two clusters overlap, nor stand outside, whatever is linked', () => {
    const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
    const pair = fc.tuple(fc.constantFrom(...keys), fc.constantFrom(...keys));
    fc.assert(
      fc.property(fc.uniqueArray(pair, { maxLength: 12, selector: String }), (links) => {
        const { layout } = placed(keys, links);
        for (const one of layout.nodes) {
          expect(one.x + NODE.width).to.be.at.most(layout.width);
          expect(one.y + NODE.height).to.be.at.most(layout.height);
          for (const other of layout.nodes)
            if (one !== other && one.x === other.x)
              expect(Math.abs(one.y - other.y)).to.be.at.least(NODE.height);
        }
        for (const { path, at } of layout.edges) {
          expect(path).to.match(/^M[\d.]+ [\d.]+(?:[CL][\d. ]+)+$/);
          expect(at.x).to.be.within(0, layout.width);
          expect(at.y).to.be.within(0, layout.height);
        }
      }),
    );
  });
});
