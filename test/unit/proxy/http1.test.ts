import { expect } from 'chai';
import { makeField } from '../../../src/proxy/http/fields.ts';
import fc from 'fast-check';
import { BodyReader } from '../../../src/proxy/http1/body.ts';
import {
  HeadError,
  headEnd,
  HeadMemory,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from '../../../src/proxy/http1/head.ts';
import { isServableTarget, renderRequest } from '../../../src/proxy/http1/render.ts';

const request = (...lines: string[]) =>
  parseRequestHead(Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'));
const response = (...lines: string[]) =>
  parseResponseHead(Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), 'GET');

/**
 * Two proxies that disagree about where a request ends let an attacker put a second one into somebody else's
 * connection. What can be read in two ways is refused.
 */
describe('HTTP/1 heads that could smuggle', () => {
  const heads: readonly [string, string[]][] = [
    [
      'both Transfer-Encoding and Content-Length',
      ['POST / HTTP/1.1', 'content-length: 5', 'transfer-encoding: chunked'],
    ],
    ['two Content-Lengths', ['POST / HTTP/1.1', 'content-length: 5', 'content-length: 5']],
    ['a list of lengths', ['POST / HTTP/1.1', 'content-length: 5, 5']],
    ['a signed length', ['POST / HTTP/1.1', 'content-length: +5']],
    ['a hexadecimal length', ['POST / HTTP/1.1', 'content-length: 0x5']],
    ['an empty length', ['POST / HTTP/1.1', 'content-length:']],
    ['a coding that is not chunked', ['POST / HTTP/1.1', 'transfer-encoding: gzip, chunked']],
    ['an obscured chunked', ['POST / HTTP/1.1', 'transfer-encoding: xchunked']],
    [
      'two Transfer-Encodings',
      ['POST / HTTP/1.1', 'transfer-encoding: chunked', 'transfer-encoding: chunked'],
    ],
    ['Transfer-Encoding in HTTP/1.0', ['POST / HTTP/1.0', 'transfer-encoding: chunked']],
    ['a folded line', ['GET / HTTP/1.1', 'a: b', ' c']],
    ['a blank before the colon', ['POST / HTTP/1.1', 'content-length : 5']],
    ['no colon', ['GET / HTTP/1.1', 'content-length 5']],
    ['an empty name', ['GET / HTTP/1.1', ': x']],
    ['a bare LF in a value', ['GET / HTTP/1.1', 'a: b\ncontent-length: 5']],
    ['a bare CR in a value', ['GET / HTTP/1.1', 'a: b\rcontent-length: 5']],
    ['a NUL', ['GET / HTTP/1.1', 'a: b\0']],
    ['two Hosts', ['GET / HTTP/1.1', 'host: a', 'host: b']],
    ['a blank in the target', ['GET /a b HTTP/1.1']],
    ['HTTP/2 in the request line', ['GET / HTTP/2.0']],
    ['no version', ['GET /']],
  ];
  for (const [story, lines] of heads) {
    it(`refuses ${story}`, () => expect(() => request(...lines)).to.throw(HeadError));
  }

  it('refuses responses of a target that contradict themselves', () => {
    expect(() => response('HTTP/1.1 200 OK', 'content-length: 1', 'content-length: 2')).to.throw(HeadError);
    expect(() => response('HTTP/1.1 200 OK', 'content-length: 1', 'transfer-encoding: chunked')).to.throw(
      HeadError,
    );
    expect(() => response('HTTP/1.1 2000 OK')).to.throw(HeadError);
  });

  it('refuses a head without end', () => {
    expect(() => headEnd(Buffer.alloc(70_000, 'a'))).to.throw(HeadError);
  });

  it('does not serve CONNECT or a target without a path', () => {
    expect(isServableTarget(request('CONNECT a:80 HTTP/1.1'))).to.equal(false);
    expect(isServableTarget(request('GET a:80 HTTP/1.1'))).to.equal(false);
    expect(isServableTarget(request('OPTIONS * HTTP/1.1'))).to.equal(true);
  });
});

// What is remembered of the head before must not be seen in the next one, whatever the two have in common.
describe('HTTP/1 heads behind each other on one connection', () => {
  const outcome = <Head>(parse: () => Head): Head | string => {
    try {
      return parse();
    } catch (error) {
      return String(error);
    }
  };
  const bytesOf = (first: string, lines: readonly string[]) =>
    Buffer.from([first, ...lines, '', ''].join('\r\n'), 'latin1');
  const line = fc.constantFrom(
    'content-length: 5',
    'content-length: 0',
    'transfer-encoding: chunked',
    'connection: close',
    'connection: upgrade',
    'upgrade: websocket',
    'authorization: NTLM x',
    'host: a',
    ' folded',
  );
  const lines = fc.array(line, { maxLength: 3 });

  it('are requests that mean what each means alone', () => {
    const first = fc.constantFrom('GET / HTTP/1.1', 'GET / HTTP/1.0', 'POST /a HTTP/1.1', 'GET /', '');
    fc.assert(
      fc.property(fc.array(fc.tuple(first, lines), { minLength: 2, maxLength: 6 }), (heads) => {
        const memory = new HeadMemory<RequestHead>();
        for (const [start, fields] of heads) {
          const bytes = bytesOf(start, fields);
          const alone = outcome(() => parseRequestHead(bytes));
          expect(outcome(() => parseRequestHead(bytes, bytes.length, memory))).to.deep.equal(alone);
        }
      }),
    );
  });

  it('are responses that mean what each means alone, also to another method', () => {
    const first = fc.constantFrom('HTTP/1.1 200 OK', 'HTTP/1.0 200 OK', 'HTTP/1.1 204 x', 'HTTP/1.1 304', '');
    fc.assert(
      fc.property(fc.array(fc.tuple(first, lines), { minLength: 1, maxLength: 4 }), (heads) => {
        const memory = new HeadMemory<ResponseHead>();
        for (const [start, fields] of heads) {
          const bytes = bytesOf(start, fields);
          for (const asked of ['GET', 'HEAD', 'HEAD', 'GET']) {
            const alone = outcome(() => parseResponseHead(bytes, asked));
            expect(outcome(() => parseResponseHead(bytes, asked, bytes.length, memory))).to.deep.equal(alone);
          }
        }
      }),
    );
  });

  it('are the same object where they say the same, unless that would hold much memory', () => {
    const memory = new HeadMemory<RequestHead>();
    const parse = (bytes: Buffer) => parseRequestHead(bytes, bytes.length, memory);
    const short = bytesOf('GET / HTTP/1.1', ['host: a']);
    expect(parse(short)).to.equal(parse(Buffer.from(short)));
    const long = bytesOf('GET / HTTP/1.1', [`x: ${'y'.repeat(5000)}`]);
    expect(parse(long)).not.to.equal(parse(long));
  });
});

describe('HTTP/1 requests on their way to the target', () => {
  const rules = {
    host: 'web.demo:8080',
    added: [makeField('forwarded', 'by=me'), makeField('l5d-client-id', 'real')],
  };

  it('lose what only proxies may say and what is for one hop, and get the real identity', () => {
    const head = request(
      'GET /x HTTP/1.1',
      'Host: evil',
      'l5d-client-id: spoofed',
      'connection: keep-alive, x-hop',
      'x-hop: 1',
      'forwarded: for=a',
      'x: y',
    );
    expect(renderRequest(head, rules).split('\r\n')).to.deep.equal([
      'GET /x HTTP/1.1',
      'host: web.demo:8080',
      'forwarded: for=a',
      'x: y',
      'forwarded: by=me',
      'l5d-client-id: real',
      '',
      '',
    ]);
  });

  it('cannot have their framing removed by a Connection option', () => {
    const head = request('POST / HTTP/1.1', 'connection: content-length, host', 'content-length: 5');
    expect(renderRequest(head, rules)).to.contain('content-length: 5');
  });

  it('lose the authority of an absolute target', () => {
    expect(renderRequest(request('GET http://evil/x?y HTTP/1.1'), rules)).to.match(
      /^GET \/x\?y HTTP\/1\.1\r\nhost: web\.demo:8080\r\n/,
    );
  });

  it('keep the upgrade that they ask for', () => {
    const text = renderRequest(request('GET / HTTP/1.1', 'connection: Upgrade', 'upgrade: websocket'), rules);
    expect(text).to.contain('connection: upgrade\r\nupgrade: websocket');
  });
});

describe('HTTP/1 bodies', () => {
  const chunked = '4;ext=1\r\nwiki\r\n5\r\npedia\r\n0\r\ntrailer: x\r\n\r\n';

  it('end where their framing says, however the bytes are split', () => {
    const bytes = Buffer.from(`${chunked}GET /next`);
    for (let at = 0; at <= bytes.length; at++) {
      const reader = new BodyReader({ kind: 'chunked' });
      const first = reader.take(bytes.subarray(0, at));
      const second = first < at ? 0 : reader.take(bytes.subarray(at));
      expect(first + second, `split at ${at}`).to.equal(chunked.length);
      expect(reader.done).to.equal(true);
    }
  });

  it('of a given length take no byte more', () => {
    const reader = new BodyReader({ kind: 'length', length: 3 });
    expect(reader.take(Buffer.from('ab'))).to.equal(2);
    expect(reader.take(Buffer.from('cde'))).to.equal(1);
    expect(reader.done).to.equal(true);
  });

  const bad = [
    '\r\n',
    'x\r\n',
    '-1\r\n',
    '0x4\r\n',
    '4\nwiki\r\n',
    '4\r\nwikix\r\n',
    '4\r\nwiki\n',
    'ffffffffffffff\r\n',
    ' 4\r\n',
    '4 \r\n',
    '0\r\na: b\n\r\n',
    '0\r\n\n',
  ];
  for (const text of bad) {
    it(`refuse the chunk framing ${JSON.stringify(text)}`, () => {
      expect(() => new BodyReader({ kind: 'chunked' }).take(Buffer.from(text))).to.throw(HeadError);
    });
  }

  it('come to the same verdict however any bytes are split', () => {
    const verdict = (pieces: readonly Buffer[]): string => {
      const reader = new BodyReader({ kind: 'chunked' });
      let taken = 0;
      try {
        for (const piece of pieces) {
          const step = reader.take(piece);
          taken += step;
          if (step < piece.length) break;
        }
      } catch (error) {
        expect(error).to.be.instanceOf(HeadError);
        return 'refused';
      }
      return `${taken} ${String(reader.done)}`;
    };
    const bytes = fc
      .string({ unit: fc.constantFrom('0', '1', 'a', ';', '\r', '\n', '\r\n', 'x'), maxLength: 30 })
      .map((text) => Buffer.from(text));
    fc.assert(
      fc.property(bytes, fc.nat(30), (all, at) => {
        expect(verdict([all.subarray(0, at), all.subarray(at)])).to.equal(verdict([all]));
      }),
    );
  });
});
