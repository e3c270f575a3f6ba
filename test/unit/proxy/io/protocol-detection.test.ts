import { expect } from 'chai';
import fc from 'fast-check';
import { FirstLine, isHttpServer, type ProtocolSight } from '../../../../src/proxy/io/protocol-detection.ts';
import { clientProtocolOf } from '../../../../src/proxy/downstream/client-protocol.ts';

/**
 * What a client says that it speaks, and what it sends, must not be able to take a request past those who
 * read requests.
 */
describe('the first line of a client', () => {
  const cases: readonly [text: string, sight: ProtocolSight][] = [
    ['GET / HTTP/1.1\r\n', 'http1'],
    ['POST /x HTTP/1.0\r\nhost: a', 'http1'],
    [`GET /${'a'.repeat(9000)} HTTP/1.1\r\n`, 'http1'],
    ['\r\n\r\nGET / HTTP/1.1\r\n', 'http1'],
    ['\nGET / HTTP/1.1\n', 'http1'],
    ['GET\t/\tHTTP/1.1\r\n', 'http1'],
    [' GET  /  HTTP/1.1\r\n', 'http1'],
    ['GET\x1c/\xa0http/1.1\r\n', 'http1'],
    ['get / HTTP/1.1\r\n', 'http1'],
    ['X-ANY!METHOD thing HTTP/1.1\r\n', 'http1'],
    [`${'m'.repeat(100)} / HTTP/1.1\r\n`, 'http1'],
    ['GET /\x00 HTTP/1.1\r\n', 'http1'],
    ['GET /\r\nl5d-client-id: a\r\n\r\n', 'http1'],
    ['CONNECT a:1 HTTP/1.1\r\n', 'http1'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http2'],
    ['PRI * HTTP/2.0\r\nl5d-client-id: a\r\n', 'http1'],
    ['', 'likely'],
    ['\r\n', 'likely'],
    ['G', 'likely'],
    ['GET', 'likely'],
    ['GET /very/long', 'likely'],
    ['GET / HTTP', 'likely'],
    ['thing /', 'likely'],
    ['PRI * HTTP/2.0\r\n', 'likely'],
    ['hello', 'unlikely'],
    ['HELLO', 'unlikely'],
    ['hello world', 'unlikely'],
    ['\x16\x03\x01', 'opaque'],
    ['\x00\x00\x00\x10', 'opaque'],
    ['hello\n', 'opaque'],
    ['EHLO a.example\r\n', 'opaque'],
    ['GET / FTP/1.1\r\n', 'http1'],
    ['PUT / FTP/1.1\r\n', 'opaque'],
    ['GETS /\r\n', 'opaque'],
    ['get /key\r\n', 'opaque'],
    ['*1\r\n$4\r\nPING\r\n', 'opaque'],
    ['SSH-2.0-OpenSSH_9.9\r\n', 'opaque'],
    ['{"json": " HTTP/1.1"}', 'opaque'],
    ['\n\x05hello', 'opaque'],
  ];
  for (const [text, sight] of cases) {
    it(`${JSON.stringify(text.slice(0, 40))} is ${sight}`, () => {
      expect(new FirstLine().take(Buffer.from(text, 'latin1'))).to.equal(sight);
    });
  }

  it('says the same in whatever pieces it comes', () => {
    const texts = fc.oneof(
      fc.constantFrom(...cases.map(([text]) => text)),
      fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('latin1')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const bytes = Buffer.from(text, 'latin1');
        const apart = new FirstLine();
        for (const byte of bytes) apart.take(Buffer.from([byte]));
        expect(apart.sight).to.equal(new FirstLine().take(bytes));
      }),
    );
  });

  it('stays what it has been found to be', () => {
    const line = new FirstLine();
    line.take(Buffer.from('hello\n'));
    expect(line.take(Buffer.from('GET / HTTP/1.1\r\n'))).to.equal('opaque');
  });
});

describe('a server that speaks first', () => {
  const cases: readonly [name: string, bytes: Buffer, http: boolean][] = [
    ['SETTINGS', Buffer.from('000000040000000000', 'hex'), true],
    ['SETTINGS with values', Buffer.from('000006040000000000000300000064', 'hex'), true],
    ['an answer that nobody asked for', Buffer.from('HTTP/1.0 408 Request Time-out\r\n'), true],
    ['MySQL', Buffer.from('4a0000000a382e302e3331', 'hex'), false],
    ['SMTP', Buffer.from('220 mail.example ESMTP\r\n'), false],
    ['one byte', Buffer.from([0]), false],
    ['SETTINGS on a stream', Buffer.from('000000040000000001', 'hex'), false],
  ];
  for (const [name, bytes, http] of cases)
    it(`${name}: ${http ? 'speaks' : 'does not speak'} HTTP`, () =>
      expect(isHttpServer(bytes)).to.equal(http));
});

describe('how a connection is taken', () => {
  const cases: readonly [...Parameters<typeof clientProtocolOf>, ReturnType<typeof clientProtocolOf>][] = [
    ['http1', undefined, 'http1'],
    ['http1', 'http2', 'http1'],
    ['http2', 'opaque', 'http2'],
    ['http', 'opaque', 'http'],
    ['opaque', undefined, 'detect'],
    ['opaque', 'http1', 'http'],
    ['opaque', 'http2', 'http'],
    ['opaque', 'opaque', 'opaque'],
    [undefined, undefined, 'detect'],
    [undefined, 'http1', 'http'],
    [undefined, 'opaque', 'opaque'],
  ];
  for (const [claim, port, speech] of cases)
    it(`a client that says ${claim ?? 'nothing'} at a port that says ${port ?? 'nothing'}: ${speech}`, () =>
      expect(clientProtocolOf(claim, port)).to.equal(speech));
});
