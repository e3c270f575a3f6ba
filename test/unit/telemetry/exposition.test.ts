import { expect } from 'chai';
import { gunzipSync } from 'node:zlib';
import { ProxyCounters } from '../../../src/proxy/metrics/counters.ts';
import { countersExposition, publishCounters } from '../../../src/proxy/metrics/counters-exposition.ts';
import { AdminPages, type AdminRequest } from '../../../src/telemetry/admin-pages.ts';
import { Exposition, type LabelValues } from '../../../src/telemetry/exposition.ts';
import { Registry } from '../../../src/telemetry/registry.ts';
import { expectLinear } from '../../support/linear-time.ts';

const LISTEN = { host: '0.0.0.0', port: 4143 };
const SERVICES = 1000;
/** What may be written before everything else gets a turn. */
const MAX_LINES = 300;

function accountsOf(services: number): ProxyCounters {
  const counters = new ProxyCounters();
  for (let at = 0; at < services; at++) {
    const name = `service-${at}.namespace-${at % 20}.svc.cluster.local:8080`;
    counters.request(name);
    for (const status of [200, 404, 503]) counters.response(name, status, at % 300);
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
    const pieces = [...countersExposition(counters.snapshot(), 'inbound', LISTEN).pieces()];
    expect(Math.max(...pieces.map(lines))).to.be.at.most(MAX_LINES);
    expect(pieces.length).to.be.above(300);
    expect(pieces.join('')).to.equal(countersExposition(counters.snapshot(), 'inbound', LISTEN).text);
    expect(pieces.filter((piece) => piece.includes('# TYPE request_total '))).to.have.lengthOf(1);
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
    const pieces = out.pieces();
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

  const request = (acceptEncoding: string): AdminRequest => ({
    method: 'GET',
    path: '/metrics',
    acceptEncoding,
    local: true,
    body: '',
  });

  it('gives everything else a turn after each piece', async () => {
    const registry = new Registry();
    publishCounters(registry, counters, 'inbound', LISTEN);
    const pages = new AdminPages({ registry, ready: () => ({ ok: true, reason: '' }) });
    let turns = 0;
    let over = false;
    const count = (): void => {
      turns++;
      if (!over) setImmediate(count);
    };
    setImmediate(count);
    const { body } = await pages.answer(request(''));
    over = true;
    expect(body.length).to.be.above(300);
    expect(turns).to.be.at.least(body.length);
  });

  it('is made once for all who ask at the same time, and anew for those who ask later', async () => {
    const registry = new Registry();
    let made = 0;
    registry.addText(() => `made ${++made}\n`);
    const pages = new AdminPages({ registry, ready: () => ({ ok: true, reason: '' }) });
    const askers = Array.from({ length: 200 }, (_, at) => pages.answer(request(at % 2 === 0 ? '' : 'gzip')));
    const texts = (await Promise.all(askers)).map(({ body, headers }) => {
      const bytes = Buffer.concat(body);
      return (headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString();
    });
    expect(made).to.equal(1);
    expect(new Set(texts)).to.have.lengthOf(1);
    await pages.answer(request(''));
    expect(made).to.equal(2);
  });
});
