import { expect } from 'chai';
import { adminRequest } from '../../support/admin-request.ts';
import { gunzipSync } from 'node:zlib';
import { ProxyCounters } from '../../../src/proxy/metrics/counters.ts';
import { viewOf } from '../../../src/proxy/metrics/counters-snapshot.ts';
import { countersExposition, publishCounters } from '../../../src/proxy/metrics/counters-exposition.ts';
import { AdminPages } from '../../../src/telemetry/admin-pages.ts';
import { Exposition, type LabelValues } from '../../../src/telemetry/exposition.ts';
import type { Pieces } from '../../../src/telemetry/pieces.ts';
import { Registry } from '../../../src/telemetry/registry.ts';
import { expectLinear } from '../../support/linear-time.ts';
import { begun } from '../../support/begun-flow.ts';

const LISTEN = { host: '0.0.0.0', port: 4143 };
const SERVICES = 1000;
/** What may be written before everything else gets a turn. */
const MAX_LINES = 300;

function accountsOf(services: number): ProxyCounters {
  const counters = new ProxyCounters();
  for (let at = 0; at < services; at++) {
    const name = `service-${at}.namespace-${at % 20}.svc.cluster.local:8080`;
    const target = begun(counters, name);
    for (const status of [200, 404, 503]) target.response(status, at % 300);
    counters.route(name, 'GET /things');
    counters.endpointOf(name);
    counters.authorization('http', true, `client-${at}.demo.serviceaccount.identity.linkerd.cluster.local`);
  }
  return counters;
}

/**
 * A scrape of 1,000 services stopped all traffic of a gateway for up to 1.3 s: the text was made, copied and
 * written in one go.
 */
describe('a scrape of 1,000 services with 3 statuses each', () => {
  const counters = accountsOf(SERVICES);
  const lines = (text: string) => text.split('\n').length - 1;

  it('is written in pieces, none of them long', () => {
    const pieces = [...countersExposition(counters.view(), 'inbound', { listen: LISTEN }).pieces()];
    expect(Math.max(...pieces.map(lines))).to.be.at.most(MAX_LINES);
    expect(pieces.length).to.be.above(300);
    expect(pieces.join('')).to.equal(
      countersExposition(viewOf(counters.snapshot()), 'inbound', { listen: LISTEN }).text,
    );
    expect(pieces.filter((piece) => piece.includes('# TYPE request_total '))).to.have.lengthOf(1);
  });

  // What is copied for a scrape lives as long as it: of some dozens V8 collected its whole heap, for 50 ms.
  it('reads a number only when its piece is asked for', () => {
    const both = countersExposition(counters.view(), 'inbound', { listen: LISTEN }).pieces();
    const pieces = both[Symbol.iterator]();
    const name = (at: number) => `service-${at}.namespace-${at % 20}.svc.cluster.local:8080`;
    let text = pieces.next().value ?? '';
    for (const at of [0, 999]) begun(counters, name(at));
    text += [...pieces].join('');
    for (const [at, requests] of [
      [0, 1],
      [999, 2],
    ] as const)
      expect(text).to.match(new RegExp(`^request_total\\{[^}]*"${name(at)}"[^}]*\\} ${requests}$`, 'm'));
  });

  it('makes a sample only when its piece is asked for', () => {
    let made = 0;
    const samples = function* (): Generator<readonly [LabelValues, number]> {
      for (let at = 0; at < 100_000; at++) {
        made++;
        yield [{ at }, at];
      }
    };
    const out = new Exposition();
    out.write({ name: 'things', type: 'gauge', labels: ['at'], help: 'Things.' }, samples());
    expect(made).to.equal(0);
    const pieces = out.pieces()[Symbol.iterator]();
    for (const count of [1, 2, 3]) {
      pieces.next();
      expect(made).to.be.within(count * 200, count * MAX_LINES);
    }
  });

  it('reads the numbers once, in time that grows with the services as they do', () => {
    const sizes = new Map<number, ProxyCounters>();
    // Made before anything is measured.
    const sized = (length: number) => {
      const services = Math.ceil(length / 16);
      if (!sizes.has(services)) sizes.set(services, accountsOf(services));
      return sizes.get(services)?.snapshot();
    };
    for (const length of [500, 4000, 32_000]) sized(length);
    expectLinear(sized, 'a snapshot');
  });

  const request = (acceptEncoding: string) => adminRequest({ path: '/metrics', acceptEncoding, local: true });

  const pagesOf = (registry: Registry) =>
    new AdminPages({ registry, ready: () => ({ ok: true, reason: '' }) });
  const ask = async (pages: AdminPages, acceptEncoding = '') => {
    const { body } = await pages.answer(request(acceptEncoding));
    if (Buffer.isBuffer(body)) throw new Error('the body was made before anybody took it');
    return body;
  };
  const piecesOf = async (body: Pieces) => {
    const pieces: Buffer[] = [];
    for await (const piece of body) pieces.push(piece);
    return pieces;
  };
  const wholeOf = async (body: Pieces) => Buffer.concat(await piecesOf(body));

  /** A clock by which a millisecond has gone by whenever it is looked at. */
  const busy = () => {
    let ms = 0;
    return () => ms++;
  };

  it('gives everything else a turn after each 2 ms of work', async () => {
    const registry = new Registry(busy());
    publishCounters(registry, counters, 'inbound', { listen: LISTEN });
    let turns = 0;
    let over = false;
    const count = (): void => {
      turns++;
      if (!over) setImmediate(count);
    };
    setImmediate(count);
    const pieces = await piecesOf(await ask(pagesOf(registry)));
    over = true;
    expect(pieces.length).to.be.above(300);
    expect(turns).to.be.at.least(Math.floor(pieces.length / 3));
  });

  // In a controller in the middle of its start a turn takes long, and a scrape had one for each of some
  // twenty.
  it('takes no turns where all of it is little work', async () => {
    const registry = new Registry(() => 0);
    for (let at = 0; at < 20; at++) registry.addText(() => `made ${at}\n`);
    const body = await ask(pagesOf(registry));
    let turns = 0;
    let over = false;
    setImmediate(function count(): void {
      turns++;
      if (!over) setImmediate(count);
    });
    const pieces = await piecesOf(body);
    over = true;
    expect(pieces.join('')).to.match(/made 0\n[^]*made 19\n$/);
    expect(turns).to.equal(0);
  });

  it('reads sources in turns, and answers 500 where one fails', async () => {
    const registry = new Registry(busy());
    let turns = 0;
    const seen: number[] = [];
    setImmediate(function count(): void {
      turns++;
      if (seen.length < 6) setImmediate(count);
    });
    for (let at = 0; at < 6; at++)
      registry.addText(() => {
        seen.push(turns);
        if (at === 5) throw new Error('the workers are silent');
        return '';
      });
    const { status, body } = await pagesOf(registry).answer(request(''));
    expect(new Set(seen).size).to.be.at.least(3);
    expect([status, body]).to.deep.equal([500, Buffer.from('the workers are silent\n')]);
  });

  it('is made once for all who ask at the same time, and anew for those who ask later', async () => {
    const registry = new Registry();
    let made = 0;
    registry.addText(() => `made ${++made}\n`);
    const pages = pagesOf(registry);
    const askers = Array.from({ length: 200 }, async (_, at) => {
      const bytes = await wholeOf(await ask(pages, at % 2 === 0 ? '' : 'gzip'));
      return (at % 2 === 0 ? bytes : gunzipSync(bytes)).toString();
    });
    const texts = await Promise.all(askers);
    expect(made).to.equal(1);
    expect(new Set(texts)).to.have.lengthOf(1);
    await ask(pages);
    expect(made).to.equal(2);
  });

  /**
   * Pages whose text has so many lines, with how many of them were made.
   * @param width of each, beside its words
   */
  const counted = (lines: number, width = 0) => {
    const registry = new Registry();
    const found = { pages: pagesOf(registry), scrapes: 0, made: 0 };
    const text = function* (scrape: number) {
      for (let at = 0; at < lines; at++) {
        found.made++;
        yield `scrape ${scrape}, line ${at}${'.'.repeat(width)}\n`;
      }
    };
    registry.addText(() => text(++found.scrapes));
    return found;
  };

  // Text that waits for its reader is external memory to V8: of a few scrapes it stopped everything for 40
  // ms.
  it('is made as it is taken, and no further', async () => {
    // Each fills a piece.
    const found = counted(100, 16 * 1024);
    const body = (await ask(found.pages))[Symbol.asyncIterator]();
    expect(found.made).to.equal(0);
    for (let taken = 1; taken <= 10; taken++) {
      await body.next();
      expect(found.made).to.be.at.most(taken);
    }
    await body.return?.();
    const { made } = found;
    await ask(found.pages);
    expect([found.scrapes, found.made], 'nobody wants the rest').to.deep.equal([2, made]);
  });

  // Those who go away before their head is written take nothing; for a packed one all was made and held.
  for (const coding of ['', 'gzip'])
    it(`is not made for one who goes away at once${coding === '' ? '' : ', packed'}`, async () => {
      const found = counted(100, 16 * 1024);
      const body = (await ask(found.pages, coding))[Symbol.asyncIterator]();
      await body.return?.();
      await ask(found.pages, coding);
      expect([found.scrapes, found.made]).to.deep.equal([2, 0]);
    });

  // Up to 32 KiB are packed at once, more in a stream.
  for (const lines of [1, 31, 33, 200])
    it(`is the same packed and plain, of ${lines} KiB`, async () => {
      const { pages } = counted(lines, 1000);
      const plain = String(await wholeOf(await ask(pages)));
      const packed = String(gunzipSync(await wholeOf(await ask(pages, 'gzip'))));
      expect(packed.replaceAll('scrape 2', 'scrape 1')).to.equal(plain);
    });

  // Fifty that read nothing held fifty texts.
  it('is held for few of those who read nothing, whom the last readers do not wait for', async () => {
    const registry = new Registry();
    const line = `${'x'.repeat(1023)}\n`.repeat(1024);
    registry.addText(function* () {
      for (let megabytes = 0; megabytes < 6; megabytes++) yield line;
    });
    const pages = pagesOf(registry);
    const stalled: { readonly body: AsyncIterator<Buffer>; readonly taken: number }[] = [];
    for (let count = 0; count < 8; count++) {
      const body = (await ask(pages))[Symbol.asyncIterator]();
      const first = await body.next();
      // How long a piece is depends on how long it took to make.
      stalled.push({ body, taken: first.done === true ? 0 : first.value.length });
    }
    const { length: whole } = await wholeOf(await ask(pages));
    expect(whole).to.be.above(6 * line.length);
    const lengthOf = async ({ body, taken }: (typeof stalled)[number]) => {
      let bytes = taken;
      for (let next = await body.next(); next.done !== true; next = await body.next())
        bytes += next.value.length;
      return bytes;
    };
    const lengths = await Promise.all(
      stalled.map((one) => lengthOf(one).catch((error: Error) => error.message)),
    );
    const slow = 'it was read too slowly';
    expect(lengths).to.deep.equal([...Array.from({ length: 6 }, () => slow), whole, whole]);
  });

  it('is whole for a slow reader, who does not hold up those who come later', async () => {
    const found = counted(50);
    const whole = (scrape: number) =>
      Array.from({ length: 50 }, (_, at) => `scrape ${scrape}, line ${at}\n`).join('');
    const slow = await ask(found.pages);
    const first = (await slow[Symbol.asyncIterator]().next()).value as Buffer;
    const later = await Promise.all([ask(found.pages), ask(found.pages)]);
    expect(found.scrapes, 'they share one').to.equal(2);
    for (const one of later) expect(String(await wholeOf(one)).trimStart()).to.equal(whole(2));
    expect(
      Buffer.concat([first, await wholeOf(slow)])
        .toString()
        .trimStart(),
    ).to.equal(whole(1));
  });

  it('breaks off for all its readers where a number cannot be told', async () => {
    const registry = new Registry();
    registry.addText(function* () {
      yield 'one 1\n';
      throw new Error('no such label');
    });
    const pages = pagesOf(registry);
    const failed = (await Promise.allSettled(
      ['', '', 'gzip'].map(async (coding) => wholeOf(await ask(pages, coding))),
    )) as PromiseRejectedResult[];
    for (const { reason } of failed) expect((reason as Error).message).to.equal('no such label');
  });
});
