import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../../../src/base/clock.ts';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { loadAccess } from '../../../../src/kube/client/access.ts';
import { KubeClient, KubeApiError } from '../../../../src/kube/client/kube-client.ts';
import { listPages } from '../../../../src/kube/client/list-pages.ts';
import { ListSplitter } from '../../../../src/kube/client/list-splitter.ts';
import { services } from '../../../../src/api/kubernetes/resource.ts';
import { decodeWatch } from '../../../../src/kube/client/watch.ts';
import { eventually } from '../../../support/eventually.ts';

const MIB = 1024 * 1024;

/**
 * `response.body.text()` took whatever an API server sent: what is in an answer, how long it is and how long
 * it takes has limits now, and what is within them is read as before.
 */
describe('answers of API servers', () => {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  async function start(answer: RequestListener, limits = {}) {
    const server = createServer(answer);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const access = loadAccess({
      text: `{clusters: [{name: c, cluster: {server: "${url}"}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}`,
      source: 'test',
    });
    const client = new KubeClient(access, { clock: systemClock, random: () => 0, limits });
    closing.push(
      async () => {
        const closed = once(server, 'close');
        server.close();
        server.closeAllConnections();
        await closed;
      },
      () => client.close(),
    );
    return { server, client };
  }

  const json: RequestListener = (_, response) => void response.setHeader('content-type', 'application/json');
  const codeFrom = (promise: Promise<unknown>) =>
    promise.then(
      () => undefined,
      (error: unknown) => codeOf(error),
    );

  for (const [what, type] of [
    ['JSON', 'application/json'],
    ['text', 'text/plain'],
  ] as const) {
    it(`gives up ${what} without an end, asks once, and closes the connection`, async () => {
      let asked = 0;
      let closed = 0;
      const { client } = await start(
        (_, response) => {
          asked++;
          response.on('close', () => closed++);
          response.setHeader('content-type', type);
          const more = () => {
            while (response.write('x'.repeat(65_536))) continue;
          };
          response.on('drain', more);
          more();
        },
        { bytes: MIB },
      );
      expect(await codeFrom(client.raw('GET', '/version'))).to.equal('KUBE_ANSWER_TOO_LARGE');
      await eventually('the connection is closed', () => closed === 1);
      expect(asked).to.equal(1);
    });
  }

  it('gives up one that comes byte by byte, however steadily, and asks once', async () => {
    let asked = 0;
    const { client } = await start(
      (request, response) => {
        asked++;
        json(request, response);
        const drip = (): void => {
          if (response.destroyed) return;
          response.write(' ');
          systemClock.after(10, drip);
        };
        drip();
      },
      { ms: 200 },
    );
    expect(await codeFrom(client.raw('GET', '/version'))).to.equal('KUBE_ANSWER_TOO_SLOW');
    expect(asked).to.equal(1);
  });

  it('gives up the head of one that comes byte by byte', async () => {
    const { client } = await start(
      (_, response) => {
        response.socket?.write('HTTP/1.1 200 OK\r\nx: ');
        const drip = (): void => {
          if (response.socket === null || response.socket.destroyed) return;
          response.socket.write('a');
          systemClock.after(10, drip);
        };
        drip();
      },
      { ms: 200 },
    );
    expect(await codeFrom(client.raw('GET', '/version'))).to.equal('KUBE_ANSWER_TOO_SLOW');
  });

  it('counts values before it parses: text of three bytes a value takes twenty times its length', async () => {
    const { client } = await start((request, response) => {
      json(request, response);
      response.end(`[{}${',{}'.repeat(1_000_001)}]`);
    });
    expect(await codeFrom(client.raw('GET', '/x'))).to.equal('KUBE_ANSWER_TOO_LARGE');
  });

  it('refuses text that is nested without end', async () => {
    const { client } = await start((request, response) => {
      json(request, response);
      response.end('['.repeat(100_000));
    });
    expect(await codeFrom(client.raw('GET', '/x'))).to.equal('KUBE_GARBLED');
  });

  // A limit that was asked at the ends of pieces alone was passed by what one piece opens and closes.
  it('refuses text that is nested too deep and closed again in one piece', async () => {
    const deep = `${'['.repeat(200)}${']'.repeat(200)}`;
    const { client } = await start((request, response) => {
      json(request, response);
      response.end(deep);
    });
    expect(await codeFrom(client.raw('GET', '/x'))).to.equal('KUBE_GARBLED');
    const splitter = new ListSplitter('list', () => undefined);
    expect(() => splitter.write(Buffer.from(`{"items":[{"a":${deep}}]}`))).to.throw(/too deep/);
    async function* line() {
      await Promise.resolve();
      yield Buffer.from(`{"type":"ADDED","object":{"a":${deep}}}\n`);
    }
    const read = async () => {
      for await (const _ of decodeWatch(line(), 'watch')) continue;
    };
    expect(await codeFrom(read())).to.equal('KUBE_WATCH_BROKEN');
  });

  it('reads as much of a refusal as is worth reading, and repeats a little of it', async () => {
    const { client } = await start((request, response) => {
      json(request, response);
      response.statusCode = 403;
      response.end(JSON.stringify({ kind: 'Status', message: 'no '.repeat(60_000) }));
    });
    const error = await client.raw('GET', '/x').catch((caught: unknown) => caught);
    expect(error).to.be.instanceOf(KubeApiError);
    expect((error as KubeApiError).message).to.have.lengthOf.below(1200);
  });

  it('asks for smaller pages where large objects make one too long: no honest cluster is over the limit', async () => {
    const limitsAsked: number[] = [];
    const { client } = await start(
      (request, response) => {
        const query = new URL(request.url ?? '', 'http://x').searchParams;
        const limit = Number(query.get('limit'));
        const from = Number(query.get('continue') ?? 0);
        limitsAsked.push(limit);
        const end = Math.min(40, from + limit);
        const items = Array.from({ length: end - from }, (_, at) => ({
          metadata: { name: `s${from + at}`, annotations: { a: 'x'.repeat(100_000) } },
        }));
        json(request, response);
        const metadata = { resourceVersion: '1', ...(end < 40 ? { continue: String(end) } : {}) };
        response.end(JSON.stringify({ metadata, items }));
      },
      { bytes: MIB },
    );
    const names: (string | undefined)[] = [];
    for await (const page of listPages(client, services, {}))
      names.push(...page.items.map(({ metadata }) => metadata?.name));
    expect(names).to.deep.equal(Array.from({ length: 40 }, (_, at) => `s${at}`));
    expect(limitsAsked.slice(0, 4)).to.deep.equal([500, 125, 31, 8]);
    // Everything is the same, page by page, where nobody names a limit.
    expect((await client.list(services)).items).to.have.lengthOf(40);
  });

  it('ends a list that has no end of pages', async () => {
    let asked = 0;
    const { client } = await start((request, response) => {
      asked++;
      json(request, response);
      response.end('{"metadata":{"resourceVersion":"1","continue":"more"},"items":[]}');
    });
    const all = async () => {
      for await (const _ of listPages(client, services, { maxPages: 50 })) continue;
    };
    expect(await codeFrom(all())).to.equal('KUBE_ANSWER_TOO_LARGE');
    expect(asked).to.equal(50);
  });

  describe('the objects of a list', () => {
    const split = (text: string, size: number) => {
      const items: unknown[] = [];
      const splitter = new ListSplitter('list', (item) => items.push(item));
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; at += size) splitter.write(bytes.subarray(at, at + size));
      return { ...(JSON.parse(splitter.end()) as object), items };
    };
    const lists: readonly string[] = [
      '{"items":[]}',
      '{"items":null,"metadata":{}}',
      '{"kind":"ServiceList","metadata":{"resourceVersion":"1"},"items":[{"a":1},{"b":[1,{"c":"]"}]}]}',
      ' { "items" : [ { "a" : "}\\"{,[" } , {"items":[{"x":1}]}\n] , "metadata": {"continue":"ü"} } ',
      '{"metadata":{"items":[{"not":"these"}],"x":[]},"items":[{"grüße":"\\u00fc\\\\"}]}',
      '{"x\\"items":[1,2],"items":[{}]}',
      '{"other":[[1],[2]],"items":[{"deep":[[[{}]]]}]}',
    ];
    for (const text of lists) {
      it(`are what JSON.parse says, however the bytes are split: ${text}`, () => {
        const whole = JSON.parse(text) as { items: unknown[] | null };
        for (const size of [1, 2, 3, 7, 1000])
          expect(split(text, size)).to.deep.equal({ ...whole, items: whole.items ?? [] });
      });
    }

    for (const text of [
      '{"items":[1]}',
      '{"items":["a"]}',
      '{"items":[{},null]}',
      '{"items":[[]]}',
      '{"items":[{"a":]}',
    ])
      it(`must be objects: ${text}`, () => expect(() => split(text, 3)).to.throw(/list/));

    it('are limited in bytes, values and depth, and so is what is around them', () => {
      const start = '{"items":[{"a":';
      const long = `${start}"${'x'.repeat(5 * MIB)}`;
      for (const text of [
        long,
        `${start}[${'1,'.repeat(100_001)}`,
        `${start}[${'1,'.repeat(100_001)}1]}]}`,
        `${start}${'['.repeat(200)}`,
        `{"a":"${'x'.repeat(70_000)}`,
      ])
        expect(() => split(text, 65_536), text.slice(0, 20)).to.throw(/more than|too deep/);
    });
  });

  it('ends a watch for an event that is more than any object', async () => {
    async function* stream(piece: string, count: number) {
      await Promise.resolve();
      yield Buffer.from('{"type":"ADDED","object":{"a":[');
      for (let at = 0; at < count; at++) yield Buffer.from(piece);
    }
    const read = async (chunks: AsyncIterable<Buffer>) => {
      for await (const _ of decodeWatch(chunks, 'watch')) continue;
    };
    expect(await codeFrom(read(stream('{},'.repeat(1000), 200)))).to.equal('KUBE_ANSWER_TOO_LARGE');
    expect(await codeFrom(read(stream(`"${'x'.repeat(65_536)}",`, 100)))).to.equal('KUBE_ANSWER_TOO_LARGE');
    expect(await codeFrom(read(stream('['.repeat(1000), 1)))).to.equal('KUBE_WATCH_BROKEN');
  });

  it('ends a watch of blank lines, which say nothing and cost time', async () => {
    async function* blank() {
      await Promise.resolve();
      for (;;) yield Buffer.from('\n'.repeat(500));
    }
    const read = async () => {
      for await (const _ of decodeWatch(blank(), 'watch')) continue;
    };
    expect(await codeFrom(read())).to.equal('KUBE_WATCH_BROKEN');
  });

  it('gives up one that comes in more pieces than its length needs', async () => {
    const { client } = await start((request, response) => {
      json(request, response);
      response.flushHeaders();
      // Chunks of HTTP with a byte each.
      response.socket?.write('1\r\n \r\n'.repeat(100_000));
    });
    expect(await codeFrom(client.raw('GET', '/x'))).to.equal('KUBE_ANSWER_TOO_LARGE');
  });
});
