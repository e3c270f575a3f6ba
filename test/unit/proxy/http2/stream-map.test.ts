import { expect } from 'chai';
import fc from 'fast-check';
import { StreamMap } from '../../../../src/proxy/http2/stream-map.ts';

/**
 * A stream that is not found is a request without an answer; one that is found under another's id is somebody
 * else's answer.
 */
describe('the table of streams', () => {
  const step = fc.record({
    id: fc
      .oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 2 ** 30 - 1 }))
      .map((n) => n * 2 + 1),
    add: fc.boolean(),
  });

  it('holds what a Map holds, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const table = new StreamMap<{ readonly id: number }>();
        const model = new Map<number, { readonly id: number }>();
        for (const { id, add } of steps) {
          if (!add) {
            table.delete(id);
            model.delete(id);
          } else if (!model.has(id)) {
            const stream = { id };
            table.add(stream);
            model.set(id, stream);
          }
          expect(table.get(id)).to.equal(model.get(id));
          expect(table.size).to.equal(model.size);
        }
        const ids = (streams: Iterable<{ readonly id: number }>) =>
          Array.from(streams, ({ id }) => id).sort((a, b) => a - b);
        expect(ids(table.values())).to.deep.equal(ids(model.values()));
        for (const [id, stream] of model) expect(table.get(id)).to.equal(stream);
      }),
    );
  });

  it('finds one that has been open since the beginning', () => {
    const table = new StreamMap<{ readonly id: number }>();
    const old = { id: 1 };
    table.add(old);
    for (let id = 3; id < 100_001; id += 2) {
      table.add({ id });
      if (id > 201) table.delete(id - 200);
    }
    expect(table.get(1)).to.equal(old);
    expect(table.size).to.equal(101);
  });
});
