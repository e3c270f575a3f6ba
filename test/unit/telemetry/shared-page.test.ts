import { expect } from 'chai';
import { AdminPages } from '../../../src/telemetry/admin-pages.ts';
import { adminRequest } from '../../support/admin-request.ts';

const MIB = 1024 * 1024;

// Whoever reaches an admin port could ask /stats of thousands of services any number of times and read none
// of it: a gateway had all the answers in its memory, and made them all at once.
describe('A page that is long', () => {
  const pagesOf = (page: (query: URLSearchParams) => unknown) =>
    new AdminPages({ ready: () => ({ ok: true, reason: '' }), pages: new Map([['/stats', page]]) });
  const ask = async (pages: AdminPages, query = '') => {
    const { status, body } = await pages.answer(adminRequest({ path: `/stats${query}` }));
    expect(status).to.equal(200);
    return (body as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  };
  const wholeOf = async (body: AsyncIterator<Buffer>) => {
    const pieces: Buffer[] = [];
    for (let next = await body.next(); next.done !== true; next = await body.next()) pieces.push(next.value);
    return Buffer.concat(pieces).toString();
  };

  it('is made once for all who ask the same at the same time, and one at a time', async () => {
    let [made, making, most] = [0, 0, 0];
    const pages = pagesOf(async (query) => {
      most = Math.max(most, ++making);
      await new Promise((resolve) => setImmediate(resolve));
      making--;
      return { made: ++made, window: query.get('window') };
    });
    const windows = ['10s', '1m', '10m', '30m'];
    const texts = await Promise.all(
      Array.from({ length: 100 }, async (_, at) => wholeOf(await ask(pages, `?window=${windows[at % 4]}`))),
    );
    expect([made, most]).to.deep.equal([4, 1]);
    for (const [at, text] of texts.entries()) expect(text).to.contain(`"window":"${windows[at % 4]}"`);
    await ask(pages, '?window=1m');
    expect(made).to.equal(5);
  });

  it('is held for few of those who read nothing', async () => {
    const pages = pagesOf(() => 'x'.repeat(6 * MIB));
    const stalled = [];
    while (stalled.length < 20) stalled.push(await ask(pages, `?since=${stalled.length}`));
    expect(await wholeOf(await ask(pages))).to.have.length.above(6 * MIB);
    const outcomes = await Promise.allSettled(stalled.map(wholeOf));
    const whole = outcomes.filter(({ status }) => status === 'fulfilled');
    expect(whole.length * 6).to.be.at.most(24);
  });

  it('is the same in pieces, whichever characters they divide', async () => {
    for (const shift of ['', 'x', 'xx', 'xxx']) {
      const text = shift + '🦀'.repeat(20_000);
      expect(JSON.parse(await wholeOf(await ask(pagesOf(() => text))))).to.equal(text);
    }
  });
});
