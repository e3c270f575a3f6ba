import { once } from 'node:events';
import http, { type IncomingHttpHeaders } from 'node:http';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { LinkspanError } from '../../../src/api/errors/linkspan-error.ts';
import type { ContextRow, SnapshotEvent, Tables } from '../../../src/dashboard/snapshot.ts';
import { emptyTables } from '../../../src/dashboard/snapshot.ts';
import { type DashboardBed, startDashboardBed } from '../../support/dashboard-bed.ts';
import { eventually } from '../../support/eventually.ts';

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly host?: string;
}

function contexts(message: string): Pick<Tables, 'contexts'> {
  const error = { code: 'KUBE_UNREACHABLE', message, advice: '' };
  return { contexts: { west: { context: 'west', state: 'unreachable', error } as ContextRow } };
}

describe('The server of the dashboard', () => {
  let bed: DashboardBed;
  let cookie = '';

  before(async () => {
    bed = await startDashboardBed(contexts('first'));
    cookie = await enter(bed.dashboard.url);
  });
  after(() => bed.dashboard.close());

  function ask(path: string, { method = 'GET', headers = {}, host = '127.0.0.1' }: Asked = {}) {
    return new Promise<Reply>((resolve, reject) => {
      const { port } = bed.dashboard;
      const request = http.request({ host, port, path, method, headers: { ...headers }, agent: false });
      request.on('error', reject);
      request.on('response', (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () => {
          const body = Buffer.concat(pieces);
          const isPacked = response.headers['content-encoding'] === 'gzip';
          const text = (isPacked ? gunzipSync(body) : body).toString();
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
        });
      });
      request.end();
    });
  }

  /** What a browser is told for an address with a key. */
  async function enter(url: string): Promise<string> {
    const { status, headers } = await ask(url.slice(url.indexOf('/?')));
    expect(status).to.equal(303);
    expect(headers.location).to.equal('/');
    return headers['set-cookie']?.[0] ?? '';
  }

  const mine = () => ({ cookie: cookie.split(';')[0] ?? '' });

  describe('lets in', () => {
    it('whoever has the address that was printed, by a cookie that no script and no other site gets', () => {
      expect(cookie).to.match(/^linkspan-\d+=[\w-]{32}; Path=\/; HttpOnly; SameSite=Strict$/);
    });

    it('one, once, by the address that stands in a command line', async () => {
      const url = bed.dashboard.ticketUrl();
      expect(await enter(url)).to.equal(cookie);
      expect((await ask(url.slice(url.indexOf('/?')))).status).to.equal(403);
    });

    it('nobody without either', async () => {
      const name = cookie.split('=')[0] ?? '';
      for (const path of ['/', '/events', '/api/contexts.json', '/page/start-page.ts', '/live/tap'])
        for (const value of ['', 'wrong', `${mine().cookie.split('=')[1] ?? ''}x`]) {
          const reply = await ask(path, { headers: { cookie: `${name}=${value}` } });
          expect(reply.status, path).to.equal(403);
          expect(reply.text).to.contain('open the address');
        }
      expect((await ask('/?key=wrong')).status).to.equal(403);
      expect((await ask('/?key=')).status).to.equal(403);
    });

    it('its own page only, under its own names only', async () => {
      const { port } = bed.dashboard;
      for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`])
        expect((await ask('/', { headers: { ...mine(), host } })).status, host).to.equal(200);
      for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1', `127.0.0.1:${port + 1}`])
        for (const path of ['/', '/api/contexts.json', `/?key=${bed.dashboard.url.split('=')[1] ?? ''}`])
          expect((await ask(path, { headers: { ...mine(), host } })).status, host).to.equal(421);
      for (const site of ['cross-site', 'same-site'])
        for (const path of ['/', bed.dashboard.url.slice(bed.dashboard.url.indexOf('/?'))]) {
          const headers = { ...mine(), 'sec-fetch-site': site };
          expect((await ask(path, { headers })).status, site).to.equal(403);
        }
      for (const site of ['same-origin', 'none'])
        expect((await ask('/', { headers: { ...mine(), 'sec-fetch-site': site } })).status).to.equal(200);
    });

    it('nobody who would change something', async () => {
      for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD']) {
        const reply = await ask('/api/contexts.json', { method, headers: mine() });
        expect(reply.status, method).to.equal(405);
        expect(reply.headers.allow).to.equal('GET');
      }
    });

    it('whoever comes by IPv6, where there is any', async function () {
      if (!Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1')))
        this.skip();
      expect((await ask('/', { headers: mine(), host: '::1' })).status).to.equal(200);
      expect((await ask('/', { host: '::1' })).status).to.equal(403);
    });

    it('nobody from another machine', async () => {
      const server = net.connect({ host: '127.0.0.2', port: bed.dashboard.port });
      const [error] = (await once(server, 'error')) as [NodeJS.ErrnoException];
      expect(error.code).to.equal('ECONNREFUSED');
    });
  });

  it('says to browsers what its page may do, whatever it answers', async () => {
    for (const reply of [
      await ask('/', { headers: mine() }),
      await ask('/'),
      await ask('/', { method: 'POST' }),
    ]) {
      const policy = reply.headers['content-security-policy'] ?? '';
      expect(policy).to.match(
        /^default-src 'none'; script-src 'self' 'sha256-[\w+/=]{44}'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'$/,
      );
      expect(reply.headers).to.include({
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'cache-control': 'no-store',
      });
    }
  });

  describe('serves', () => {
    it('the page for every address that it shows, with the one script that the policy names', async () => {
      const { text, headers } = await ask('/', { headers: mine() });
      expect(headers['content-type']).to.equal('text/html; charset=utf-8');
      const inline = [...text.matchAll(/<script(?![^>]*\bsrc=)[^>]*>([^<]*)<\/script>/g)].map(
        (one) => one[1],
      );
      expect(inline).to.have.length(1);
      expect(JSON.parse(inline[0] ?? '')).to.have.property('imports');
      for (const path of ['/links/x', '/services/demo/web.v1', '/now?context=a.b'])
        expect((await ask(path, { headers: mine() })).text, path).to.equal(text);
    });

    it('each module that it imports, as JavaScript, and nothing else of the program', async () => {
      const { text } = await ask('/', { headers: mine() });
      const map = JSON.parse(/importmap">([^<]*)</.exec(text)?.[1] ?? '') as {
        imports: Record<string, string>;
      };
      for (const path of [
        ...Object.values(map.imports),
        '/page/start-page.ts',
        '/snapshot.ts',
        '/lib/uplot.css',
      ]) {
        const reply = await ask(path, { headers: { ...mine(), 'accept-encoding': 'gzip' } });
        expect(reply.status, path).to.equal(200);
        expect(reply.headers['content-type']).to.match(/^text\/(javascript|css); charset=utf-8$/);
        expect(reply.text).not.to.contain('interface ');
      }
      const others = ['/dashboard-server.ts', '/page/../dashboard-server.ts', '/page/%2e%2e/page-files.ts'];
      for (const path of [...others, '/page/tsconfig.json', '/lib/../package.json', '/.env'])
        expect((await ask(path, { headers: mine() })).status, path).to.equal(404);
    });

    it('tables, what else is asked for, and errors in their words', async () => {
      const read = async (path: string) => {
        const { status, text } = await ask(path, { headers: mine() });
        return { status, body: JSON.parse(text) as Record<string, unknown> };
      };
      expect((await read('/api/contexts.json')).body).to.include({ table: 'contexts' });
      expect((await read('/api/meta.json')).body).to.include({ v: 1, prometheus: null });
      expect((await read('/api/history/table.json')).status).to.equal(404);
      expect((await read('/api/__proto__.json')).status).to.equal(404);
      bed.answers.service = () => Promise.reject(new LinkspanError('KUBE_TIMEOUT', 'no answer from west'));
      const late = await read('/api/service.json?context=west');
      expect(late.status).to.equal(504);
      expect(late.body).to.have.nested.property('error.code', 'KUBE_TIMEOUT');
      expect(late.body).to.have.nested.property('error.advice').that.is.not.empty;
    });
  });

  it('refuses a port that another has, with a code', async () => {
    const refused = await startDashboardBed({}, { port: bed.dashboard.port }).catch(
      (error: unknown) => error,
    );
    expect(refused).to.be.instanceOf(LinkspanError).with.property('code', 'PORT_IN_USE');
  });

  describe('tells', () => {
    interface Reader {
      readonly events: { readonly id: string; readonly event: string; readonly data: unknown }[];
      readonly response: http.IncomingMessage;
    }

    async function look(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Reader> {
      const { port } = bed.dashboard;
      const request = http.get({
        host: '127.0.0.1',
        port,
        path,
        headers: { ...mine(), ...headers },
        agent: false,
      });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      expect(response.headers['content-type']).to.match(/^text\/event-stream/);
      const events: Reader['events'] = [];
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          const lines = text.slice(0, end).split('\n');
          const of = (name: string) =>
            lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
          events.push({
            id: of('id') ?? '',
            event: of('event') ?? '',
            data: JSON.parse(of('data') ?? 'null'),
          });
          text = text.slice(end + 2);
        }
      });
      response.on('error', () => undefined);
      return { events, response };
    }

    const tables = (message: string): Tables => ({ ...emptyTables(), ...contexts(message) });

    it('everything at first, then what changes, and to whoever comes back what was missed', async () => {
      const first = await look('/events');
      await eventually('a snapshot', () => first.events.length > 0);
      expect(first.events[0]).to.include({ event: 'snapshot' });
      bed.feed.publish(tables('second'));
      bed.feed.publish(tables('second'));
      await eventually('a delta', () => first.events.length > 1);
      expect(first.events[1]?.data).to.have.nested.property(
        'changes.contexts.set.west.error.message',
        'second',
      );
      first.response.destroy();
      await eventually('nobody looks', () => !bed.feed.isWatched);
      bed.feed.publish(tables('third'));

      const { id = '' } = first.events.at(-1) ?? {};
      for (const again of [
        await look(`/events?last=${id}`),
        await look('/events', { 'last-event-id': id }),
      ]) {
        await eventually('what was missed', () => again.events.length > 0);
        expect(again.events.map(({ event }) => event)).to.deep.equal(['delta']);
        again.response.destroy();
      }
      for (const unknown of ['other-1', `${id}0000`, '']) {
        const anew = await look(`/events?last=${unknown}`);
        await eventually('everything', () => anew.events.length > 0);
        expect(anew.events[0]).to.include({ event: 'snapshot' });
        anew.response.destroy();
      }
    });

    it('one that takes nothing no more than one thing, and then how it is now', async () => {
      const slow = await look('/events');
      await eventually('a snapshot', () => slow.events.length > 0);
      slow.response.pause();
      const before = process.memoryUsage().rss;
      const big = 'x'.repeat(2 ** 20);
      for (let at = 0; at < 200; at++) bed.feed.publish(tables(`${at}${big}`));
      expect(process.memoryUsage().rss - before).to.be.below(150 * 2 ** 20);
      bed.feed.publish(tables('last'));
      slow.response.resume();
      await eventually('the last one', () => {
        const { data } = slow.events.at(-1) ?? {};
        const { tables: whole } = data as SnapshotEvent;
        return whole?.contexts['west']?.error?.message === 'last';
      });
      expect(slow.events.length).to.be.below(60);
      slow.response.destroy();
    });

    it('what passes while somebody looks, why that cannot be, and asks no longer than somebody does', async () => {
      let isOver = false;
      bed.answers.tap = async function* (query, signal) {
        try {
          yield { event: 'tap', data: { pod: query.get('service') ?? '' } };
          await once(signal, 'abort');
        } finally {
          isOver = true;
        }
      };
      const live = await look('/live/tap?service=web');
      await eventually('a word', () => live.events.length > 0);
      expect(live.events[0]).to.deep.include({ event: 'tap', data: { pod: 'web' } });
      live.response.destroy();
      await eventually('it is over', () => isOver);
      bed.answers.top = async function* () {
        yield await Promise.reject(new LinkspanError('TAP_REFUSED', 'nobody may'));
      };
      const refused = await look('/live/top');
      await eventually('why', () => refused.events.length > 0);
      expect(refused.events[0]?.data).to.have.nested.property('error.code', 'TAP_REFUSED');
    });
  });
});
