import { expect } from 'chai';
import fc from 'fast-check';
import { LinkspanError } from '../../../../src/api/errors/linkspan-error.ts';
import { decodeWatch } from '../../../../src/kube/client/watch.ts';
import type { KubeObject } from '../../../../src/api/kubernetes/resource.ts';
import { anyText } from '../../../support/any-text.ts';
import { WORST_TEXTS } from '../../../support/worst-text.ts';

/** As many as a run in CI bears; `LINKSPAN_FUZZ=20` runs twenty times as many. */
const RUNS = 100 * Number(process.env['LINKSPAN_FUZZ'] ?? '1');
/** Characters of a line that is as bad as it can be. */
const LONG = 64 * 1024;

/** Bytes in pieces, cut anywhere. */
async function* pieces(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b);
  for (const [nth, from] of [0, ...at].entries()) yield bytes.subarray(from, at[nth] ?? bytes.length);
}

/** The events of a watch, and how it broke off. @throws what is no error of a watch */
async function read(bytes: Buffer, cuts: readonly number[]): Promise<{ events: unknown[]; code: string }> {
  const events: unknown[] = [];
  try {
    for await (const { type, object } of decodeWatch<KubeObject>(pieces(bytes, cuts), 'a watch'))
      events.push({ type, object });
    return { events, code: '' };
  } catch (error) {
    if (!(error instanceof LinkspanError)) throw error;
    return { events, code: error.code };
  }
}

const cuts = fc.array(fc.nat(2000), { maxLength: 8 });
const event = fc.record({
  type: fc.constantFrom('ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK'),
  object: fc.dictionary(
    fc.string({ maxLength: 5 }).filter((key) => key !== '__proto__'),
    fc.jsonValue({ maxDepth: 2 }),
    { maxKeys: 3 },
  ),
});

// A target's API server that means harm sends what it likes down a watch, in pieces that it likes.
describe('the bytes of a watch', () => {
  it('are the same events however they are cut, with blank lines between them', () =>
    fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 5 }), fc.boolean(), cuts, async (events, blank, at) => {
        const text = events.map((one) => `${JSON.stringify(one)}\n${blank ? '\r\n \n' : ''}`).join('');
        const { events: came, code } = await read(Buffer.from(text), at);
        expect(code).to.equal('');
        expect(came).to.deep.equal(JSON.parse(JSON.stringify(events)));
      }),
      { numRuns: RUNS },
    ));

  it('that are no events end it with an error that says so, wherever they are cut, and not before those that are', () => {
    const line = fc.oneof(
      anyText(40),
      fc.json(),
      fc.jsonValue().map((object) => JSON.stringify({ type: 'ERROR', object })),
      fc.jsonValue().map((type) => JSON.stringify({ type, object: {} })),
      fc.jsonValue().map((object) => JSON.stringify({ type: 'ADDED', object })),
      event.map((one) => JSON.stringify(one)),
    );
    return fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 6 }), cuts, cuts, async (lines, one, other) => {
        const bytes = Buffer.from(lines.join('\n'));
        const [first, second] = [await read(bytes, one), await read(bytes, other)];
        expect(first).to.deep.equal(second);
      }),
      { numRuns: RUNS },
    );
  });

  it('of the worst text, as a line or within an event, are read or refused', async () => {
    for (const make of WORST_TEXTS)
      for (const text of [
        make(LONG),
        `{"type":"ADDED","object":{"a":"${make(LONG)}"}}`,
        `{"type":"ADDED","object":${make(LONG)}`,
      ]) {
        const { events, code } = await read(Buffer.from(`${text}\n`, 'latin1'), [1, 100, LONG / 2]);
        const sound = events.length === 1 || text.trim() === '';
        expect(code, make(20)).to.equal(sound ? '' : 'KUBE_WATCH_BROKEN');
      }
  });
});
