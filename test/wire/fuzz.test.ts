import { expect } from 'chai';
import fc from 'fast-check';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Framing } from '../../src/proxy/http/messages.ts';
import { BodyReader, passOn } from '../../src/proxy/http1/body.ts';
import { headEnd, HeadError, parseRequestHead, parseResponseHead } from '../../src/proxy/http1/head.ts';
import { makeField } from '../../src/proxy/http/fields.ts';
import { renderRequest, renderResponse } from '../../src/proxy/http1/render.ts';
import { HeaderError, TransportHeaderDecoder } from '../../src/proxy/io/transport-header.ts';
import { service, WireGateway } from '../support/wire-gateway.ts';

const RULES = {
  host: 'web.demo.svc.cluster.local',
  added: [makeField('forwarded', 'by=gateway.west'), makeField('l5d-client-id', 'client.east')],
};
/** As many as a run in CI bears; `LINKSPAN_FUZZ=20` runs twenty times as many. */
const MORE = Number(process.env['LINKSPAN_FUZZ'] ?? '1');
const runs = (count: number) => ({ numRuns: count * MORE });

const latin1 = (text: string) => Buffer.from(text, 'latin1');

/** Bytes in pieces, cut anywhere. */
function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...at].map((from, n) => bytes.subarray(from, at[n] ?? bytes.length));
}
const cuts = fc.array(fc.nat(400), { maxLength: 6 });

/** Text of pieces that mean something to an HTTP/1 parser, and of some that mean nothing. */
function text(...units: readonly string[]): fc.Arbitrary<string> {
  const junk = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 3,
  });
  return fc
    .array(fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...units) }, { weight: 1, arbitrary: junk }), {
      maxLength: 24,
    })
    .map((found) => found.join(''));
}

/** The same with one character lost, doubled or replaced: where parsers go wrong is next to what is right. */
function broken(whole: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const other = fc.constantFrom('', '\r', '\n', '\r\n', ' ', '\t', '\0', '0', ':', ';', 'x', '\xff');
  return fc.tuple(whole, fc.nat(400), fc.boolean(), other).map(([found, place, keep, by]) => {
    const at = place % (found.length + 1);
    return found.slice(0, at) + by + found.slice(keep ? at : at + 1);
  });
}

const FIELD_LINES = [
  'host: x\r\n',
  'content-length: 3\r\n',
  'Content-Length: 0\r\n',
  'content-length:3,3\r\n',
  'transfer-encoding: chunked\r\n',
  'Transfer-Encoding:\tchunked \r\n',
  'transfer-encoding: identity\r\n',
  'connection: close\r\n',
  'connection: keep-alive, content-length\r\n',
  'connection: upgrade\r\n',
  'upgrade: h2c\r\n',
  'upgrade: echo\r\n',
  'expect: 100-continue\r\n',
  'l5d-client-id: admin\r\n',
  'x-a: b\r\n',
  ' folded\r\n',
  'x-a : b\r\n',
  'x\r\n',
  '\r\n',
  '\n',
  '\r',
];
const START_LINES = [
  'GET / HTTP/1.1\r\n',
  'POST /a HTTP/1.1\r\n',
  'HEAD / HTTP/1.0\r\n',
  'OPTIONS * HTTP/1.1\r\n',
  'GET http://x/a HTTP/1.1\r\n',
  'CONNECT x:1 HTTP/1.1\r\n',
  'GET / HTTP/1.1\n',
  'GET  / HTTP/1.1\r\n',
];
const BODY_PARTS = ['abc', '3\r\nabc\r\n', '3;x=y\r\nabc\r\n', '0\r\n\r\n', '0\r\nx-t: 1\r\n\r\n', 'g\r\n'];
/** A request that was cut, in the middle or before its answer, is none. */
const CUT = new Set(['HPE_INVALID_EOF_STATE', 'ECONNRESET', 'EPIPE']);
const GOOD_LINES = [
  'x-a: b\r\n',
  'connection: l5d-client-id\r\n',
  'l5d-client-id: admin\r\n',
  'te: trailers\r\n',
];
/** Two of three are well-formed or nearly so, because what is refused at once proves little. */
function heads(starts: readonly string[]): fc.Arbitrary<string> {
  const framing = fc.constantFrom('', 'content-length: 3\r\n', 'transfer-encoding: chunked\r\n');
  const good = fc
    .tuple(fc.constantFrom(...starts), fc.array(fc.constantFrom(...GOOD_LINES), { maxLength: 3 }), framing)
    .map(([start, lines, last]) => `${start}${lines.join('')}${last}\r\n`);
  const soup = fc
    .tuple(fc.constantFrom(...starts), text(...FIELD_LINES))
    .map(([start, rest]) => `${start}${rest}\r\n`);
  return fc.oneof(good, broken(good), soup);
}
const messages = fc.tuple(heads(START_LINES), text(...BODY_PARTS)).map(([head, body]) => latin1(head + body));

type Verdict<T> = { readonly value: T } | 'refused' | 'incomplete';

/**
 * What `parse` makes of a head that comes in pieces, and what is behind it; anything but its own error comes
 * through.
 */
function headOf<T>(parse: (head: Buffer) => T, given: readonly Buffer[]): Verdict<{ head: T; rest: string }> {
  let held = Buffer.alloc(0);
  try {
    for (const [at, piece] of given.entries()) {
      held = Buffer.concat([held, piece]);
      const end = headEnd(held);
      if (end < 0) continue;
      const rest = Buffer.concat([held.subarray(end), ...given.slice(at + 1)]).toString('latin1');
      return { value: { head: parse(held.subarray(0, end)), rest } };
    }
  } catch (error) {
    if (error instanceof HeadError) return 'refused';
    throw error;
  }
  return 'incomplete';
}

/**
 * Parsers stand before everything else, and everybody can send them anything: what they throw ends the
 * process, where they loop it hangs, and what they misread is forwarded.
 */
describe('HTTP/1 parsers under any bytes', () => {
  it('request heads: only their own error, the same result however split, and what passes is rendered so that it reads the same', () => {
    fc.assert(
      fc.property(messages, cuts, (bytes, at) => {
        const whole = headOf(parseRequestHead, [bytes]);
        expect(headOf(parseRequestHead, pieces(bytes, at))).to.deep.equal(whole);
        if (typeof whole === 'string') return;
        const { head } = whole.value;
        const again = parseRequestHead(latin1(renderRequest(head, RULES)));
        expect(again.framing).to.deep.equal(head.framing);
        expect(again.method).to.equal(head.method);
        const own = again.fields.filter(({ lower }) => lower.startsWith('l5d-'));
        expect(own.map(({ value }) => value)).to.deep.equal(['client.east']);
      }),
      runs(1500),
    );
  });

  it('request heads of any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), cuts, (array, at) => {
        const bytes = Buffer.concat([Buffer.from(array), latin1('\r\n\r\n')]);
        expect(headOf(parseRequestHead, pieces(bytes, at))).to.deep.equal(headOf(parseRequestHead, [bytes]));
      }),
      runs(500),
    );
  });

  it('response heads: the same', () => {
    const starts = [
      'HTTP/1.1 200 OK\r\n',
      'HTTP/1.0 404 \r\n',
      'HTTP/1.1 204\r\n',
      'HTTP/1.1 103 Hints\r\n',
      'HTTP/2 200\r\n',
    ];
    fc.assert(
      fc.property(heads(starts), cuts, fc.constantFrom('GET', 'HEAD'), (head, at, method) => {
        const parse = (bytes: Buffer) => parseResponseHead(bytes, method);
        const whole = headOf(parse, [latin1(head)]);
        expect(headOf(parse, pieces(latin1(head), at))).to.deep.equal(whole);
        if (typeof whole === 'string') return;
        const again = parse(latin1(renderResponse(whole.value.head, 1, false)));
        expect(again.framing).to.deep.equal(whole.value.head.framing);
        expect(again.status).to.equal(whole.value.head.status);
      }),
      runs(1500),
    );
  });

  /**
   * Chunked coding as RFC 9112 section 7.1 writes it, for the whole of a body at once: another way to the
   * same answer.
   */
  const CHUNK = /^([0-9a-fA-F]{1,13})(?:;[^\r\n\0]*)?\r\n/;
  function model(whole: string): Verdict<{ body: string; length: number }> {
    let at = 0;
    let body = '';
    for (;;) {
      const line = CHUNK.exec(whole.slice(at));
      if (line === null) return couldBecome(whole.slice(at)) ? 'incomplete' : 'refused';
      at += line[0].length;
      const size = Number.parseInt(line[1] ?? '', 16);
      if (size === 0) break;
      body += whole.slice(at, at + size);
      at += size;
      if (at > whole.length || whole.slice(at, at + 2).length < 2)
        return '\r\n'.startsWith(whole.slice(at, at + 2)) ? 'incomplete' : 'refused';
      if (whole.slice(at, at + 2) !== '\r\n') return 'refused';
      at += 2;
    }
    const section = /^(?:[^\r\n\0][^\r\n\0]*\r\n)*\r\n/.exec(whole.slice(at));
    if (section !== null) return { value: { body, length: at + section[0].length } };
    return /^(?:[^\r\n\0]+\r\n)*(?:[^\r\n\0]*\r?)?$/.test(whole.slice(at)) ? 'incomplete' : 'refused';
  }
  const couldBecome = (rest: string) =>
    /^(?:[0-9a-fA-F]{0,13}|[0-9a-fA-F]{1,13}(?:;[^\r\n\0]*)?\r?)$/.test(rest);

  function read(given: readonly Buffer[]): {
    verdict: Verdict<{ body: string; length: number }>;
    passed: string;
    trailers: boolean;
  } {
    const reader = new BodyReader({ kind: 'chunked' });
    const sink = { body: '', onBodyBytes: (chunk: Buffer) => void (sink.body += chunk.toString('latin1')) };
    let length = 0;
    let passed = '';
    try {
      for (const piece of given) {
        const taken = reader.take(piece, sink);
        length += taken;
        if (taken > 0) passed += passOn(reader, piece, taken).toString('latin1');
        if (reader.done) break;
      }
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      return { verdict: 'refused', passed, trailers: error.message.includes('field') };
    }
    return {
      verdict: reader.done ? { value: { body: sink.body, length } } : 'incomplete',
      passed,
      trailers: false,
    };
  }
  const soup = text(
    '3\r\nabc\r\n',
    'A\r\n0123456789\r\n',
    '3;x="y"\r\nabc\r\n',
    '0\r\n',
    '\r\n',
    '\n',
    'x-t: 1\r\n',
    ' y\r\n',
    '00',
    'f',
    ';',
    'l5d-client-id: a\r\n',
  );
  const wellFormed = fc
    .tuple(
      fc.array(fc.constantFrom('3\r\nabc\r\n', '0a\r\n0123456789\r\n', '3;x="y"\r\na\r\n\r\n'), {
        maxLength: 4,
      }),
      fc.constantFrom('0\r\n', '000\r\n', '0;x=y\r\n'),
      fc.array(fc.constantFrom('x-t: 1\r\n', 'l5d-client-id: a\r\n', 'content-length: 1\r\n'), {
        maxLength: 3,
      }),
      fc.constantFrom('\r\n', '\r\nGET / HTTP/1.1\r\n\r\n'),
    )
    .map((parts) => parts.flat().join(''));
  const chunks = fc.oneof(soup, broken(wellFormed), wellFormed).map(latin1);

  it('chunked bodies: as the RFC has it, however split', () => {
    fc.assert(
      fc.property(chunks, cuts, (bytes, at) => {
        const whole = read([bytes]);
        // Trailers that frame well but are no fields are refused besides.
        if (!whole.trailers) expect(whole.verdict).to.deep.equal(model(bytes.toString('latin1')));
        const split = read(pieces(bytes, at));
        expect(split.verdict).to.deep.equal(whole.verdict);
      }),
      runs(3000),
    );
  });

  it('chunked bodies: what is passed on has the same body, and ends if and only if this one did', () => {
    fc.assert(
      fc.property(chunks, cuts, (bytes, at) => {
        const { verdict, passed } = read(pieces(bytes, at));
        const next = model(passed);
        if (typeof verdict !== 'string') {
          expect(next).to.deep.equal({ value: { body: verdict.value.body, length: passed.length } });
          expect(passed).not.to.match(/\r\nl5d-client-id/);
        } else {
          expect(next).not.to.have.property('value');
        }
      }),
      runs(3000),
    );
  });

  it('bodies of a length: no byte more, however split', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(80), cuts, (array, length, at) => {
        const framing: Framing = length === 0 ? { kind: 'none' } : { kind: 'length', length };
        const reader = new BodyReader(framing);
        let taken = 0;
        for (const piece of pieces(Buffer.from(array), at)) taken += reader.take(piece);
        expect(taken).to.equal(Math.min(length, array.length));
        expect(reader.done).to.equal(array.length >= length);
        expect(reader.end()).to.equal(array.length >= length);
      }),
      runs(500),
    );
  });
});

describe('transport header under any bytes', () => {
  const PREFACE = latin1('transport.l5d.io/v1\r\n\r\n');
  const number = (value: number): number[] =>
    value < 128 ? [value] : [(value % 128) | 128, ...number(Math.floor(value / 128))];
  const field = fc.oneof(
    fc.nat(70_000).map((port) => [0x08, ...number(port)]),
    fc
      .constantFrom('web.demo', 'a', 'A.B.', '-', 'a..b', 'x'.repeat(64), '')
      .map((name) => [0x12, ...number(name.length), ...Buffer.from(name)]),
    fc.constantFrom([0x1a, 2, 0x0a, 0], [0x1a, 2, 0x12, 0], [0x1a, 0], [0x1a, 2, 0x2a, 0], [0x1a, 9]),
    fc.constantFrom(
      [0x20, 1],
      [0x2a, 1, 65],
      [0x31, 1, 2, 3, 4, 5, 6, 7, 8],
      [0x3d, 1, 2, 3, 4],
      [0x1b],
      [0x00],
    ),
    fc.array(fc.nat(255), { maxLength: 4 }),
  );
  const header = fc
    .tuple(fc.array(field, { maxLength: 5 }), fc.integer({ min: -2, max: 2 }))
    .map(([fields, off]) => {
      const message = Buffer.from(fields.flat());
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Math.max(0, message.length + (Math.abs(off) === 2 ? off : 0)));
      return Buffer.concat([PREFACE, length, message, latin1('GET /')]);
    });

  function decoded(given: readonly Buffer[]): Verdict<unknown> {
    const decoder = new TransportHeaderDecoder();
    try {
      for (const [at, piece] of given.entries()) {
        const found = decoder.push(piece);
        if (found === undefined) continue;
        const rest = Buffer.concat([found.rest, ...given.slice(at + 1)]).toString('latin1');
        return { value: { ...found.header, rest } };
      }
    } catch (error) {
      if (error instanceof HeaderError) return 'refused';
      throw error;
    }
    return 'incomplete';
  }

  it('only its own error, the same result however split, and nothing but a name and a port that can be', () => {
    fc.assert(
      fc.property(header, cuts, (bytes, at) => {
        const whole = decoded([bytes]);
        expect(decoded(pieces(bytes, at))).to.deep.equal(whole);
        if (typeof whole === 'string') return;
        const { name, port } = whole.value as { name: string; port: number };
        expect(port).to.be.within(1, 65_535);
        expect(name).to.match(/^$|^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/);
        expect(name).not.to.contain('..');
      }),
      runs(3000),
    );
  });

  it('any bytes at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), cuts, (array, real, at) => {
        const bytes = Buffer.concat([real ? PREFACE : Buffer.alloc(0), Buffer.from(array)]);
        expect(decoded(pieces(bytes, at))).to.deep.equal(decoded([bytes]));
      }),
      runs(1000),
    );
  });
});

/**
 * The same over the wire, with Node's own parser as the target: whatever a client sends, each request that
 * the target sees has been looked at by the gateway.
 */
describe('HTTP/1 streams of any bytes through the gateway', () => {
  const WEB = 'web.demo.svc.cluster.local';
  let gateway: WireGateway;
  let server: http.Server;
  const seen: string[] = [];

  before(async () => {
    server = http.createServer((request, response) => {
      const { rawHeaders } = request;
      const clients = rawHeaders.filter(
        (_, n) => n % 2 === 1 && rawHeaders[n - 1]?.toLowerCase() === 'l5d-client-id',
      );
      seen.push(clients.join(', '));
      request.resume();
      request.on('end', () => response.end('ok'));
    });
    server.on('clientError', (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket) => {
      // Node takes not all methods and paths that others do. Everything else is something that the gateway
      // forwarded and the next parser cannot read.
      const head = error.rawPacket?.toString('latin1') ?? '';
      const strict =
        (error.code === 'HPE_INVALID_METHOD' || error.code === 'HPE_INVALID_URL') &&
        /^\S+ \S+ HTTP\/1\.[01]\r\nhost: web\.demo\./.test(head);
      if (!strict && !CUT.has(error.code ?? '')) seen.push(`unreadable: ${error.code} ${head}`);
      socket.destroy();
    });
    server.on('upgrade', (_, socket) => socket.destroy());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    gateway = await WireGateway.start([service(WEB, [(server.address() as AddressInfo).port])]);
  });

  after(async () => {
    await gateway.close();
    server.closeAllConnections();
    server.close();
  });

  it('forward nothing that Node cannot read, or that does not say who the client is', async function () {
    this.timeout(20_000 * MORE);
    const bodies = fc.oneof(fc.constantFrom('', ...BODY_PARTS), text(...BODY_PARTS));
    const pipelined = fc
      .array(fc.tuple(heads(START_LINES), bodies), { minLength: 1, maxLength: 4 })
      .map((requests) => latin1(requests.flat().join('')));
    await fc.assert(
      fc.asyncProperty(pipelined, cuts, async (bytes, at) => {
        seen.length = 0;
        const client = await gateway.open(WEB, 'http1');
        for (const piece of pieces(bytes, at)) await client.sendAlone(piece);
        client.end();
        await client.whole();
        for (const who of seen) expect(who).to.equal('client.east');
      }),
      runs(150),
    );
  });
});
