import { expect } from 'chai';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { service, WireGateway } from '../support/wire-gateway.ts';
import { answering, WireTarget } from '../support/wire-target.ts';

const WEB = 'web.demo.svc.cluster.local';
const NODE = 'node.demo.svc.cluster.local';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
/** What an attacker wants to get to the target without anybody having looked at it. */
const PRIZE = 'GET /smuggled HTTP/1.1\r\nhost: x\r\nl5d-client-id: admin.east\r\n\r\n';

/** A request in lines; `\r\n` between them and the blank line are added. */
const head = (...lines: string[]) => `${lines.join('\r\n')}\r\n\r\n`;
const post = (...lines: string[]) => head('POST /a HTTP/1.1', 'host: x', ...lines);
const chunkedWith = (body: string) => post('transfer-encoding: chunked') + body;
const many = (count: number, line: (n: number) => string) =>
  Array.from({ length: count }, (_, n) => line(n)).join('\r\n');

/**
 * Two HTTP parsers in a row that disagree about where a request ends let an attacker hide a second one in the
 * first: it reaches the target as somebody else, past every policy. So what can be framed in two ways is
 * refused, and the proof is what arrives at the target's socket: nothing at all, or at least no complete
 * request.
 */
describe('HTTP/1 request smuggling', () => {
  let gateway: WireGateway;
  let target: WireTarget;
  /** A second opinion on what arrives: requests that Node's parser found complete. */
  let server: http.Server;
  const complete: string[] = [];

  before(async () => {
    target = await WireTarget.start(answering(() => OK));
    server = http.createServer((request, response) => {
      request.resume();
      request.on('end', () => {
        complete.push(`${request.method} ${request.url} ${String(request.headers['l5d-client-id'])}`);
        response.end('ok');
      });
    });
    server.on('clientError', (_, socket) => socket.destroy());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    gateway = await WireGateway.start([
      service(WEB, [target.port]),
      service(NODE, [(server.address() as AddressInfo).port]),
    ]);
  });

  after(async () => {
    await gateway.close();
    await target.close();
    server.closeAllConnections();
    server.close();
  });

  beforeEach(() => {
    target.forget();
    complete.length = 0;
  });

  async function exchange(name: string, text: string, apart: boolean): Promise<string> {
    const client = await gateway.open(name, 'http1');
    // Cut before the last byte of the head and in the middle of what follows, where parsers keep state.
    const end = text.indexOf('\r\n\r\n') + 3;
    if (apart && end > 3) {
      await client.sendAlone(text.slice(0, end));
      await client.sendAlone(text.slice(end, end + 3));
      await client.sendAlone(text.slice(end + 3));
    } else {
      client.send(text);
    }
    return client.whole();
  }

  const heads: readonly (readonly [story: string, text: string])[] = [
    [
      'Content-Length and Transfer-Encoding',
      post('content-length: 4', 'transfer-encoding: chunked') + `0\r\n\r\n${PRIZE}`,
    ],
    [
      'Transfer-Encoding and Content-Length',
      post('transfer-encoding: chunked', 'content-length: 4') + `0\r\n\r\n${PRIZE}`,
    ],
    ['two equal Content-Lengths', post('content-length: 4', 'content-length: 4') + `abcd${PRIZE}`],
    ['two different Content-Lengths', post('content-length: 4', 'content-length: 0') + PRIZE],
    ['a list of equal Content-Lengths', post('content-length: 4, 4') + `abcd${PRIZE}`],
    ['a Content-Length with a sign', post('content-length: +4') + `abcd${PRIZE}`],
    ['a negative Content-Length', post('content-length: -1') + PRIZE],
    ['a hexadecimal Content-Length', post('content-length: 0x4') + `abcd${PRIZE}`],
    ['a Content-Length with a blank in it', post('content-length: 4 0') + `abcd${PRIZE}`],
    ['a Content-Length beyond 2^53', post('content-length: 9007199254740993') + PRIZE],
    ['a Content-Length beyond 2^64', post('content-length: 18446744073709551620') + `abcd${PRIZE}`],
    ['an empty Content-Length', post('content-length:') + PRIZE],
    [
      'two Transfer-Encodings',
      post('transfer-encoding: chunked', 'transfer-encoding: chunked') + `0\r\n\r\n${PRIZE}`,
    ],
    ['chunked, identity', post('transfer-encoding: chunked, identity') + `0\r\n\r\n${PRIZE}`],
    ['identity', post('transfer-encoding: identity', 'content-length: 4') + `abcd${PRIZE}`],
    ['gzip, chunked', post('transfer-encoding: gzip, chunked') + `0\r\n\r\n${PRIZE}`],
    ['chunked twice in one field', post('transfer-encoding: chunked, chunked') + `0\r\n\r\n${PRIZE}`],
    ['a coding in quotes', post('transfer-encoding: "chunked"') + `0\r\n\r\n${PRIZE}`],
    ['xchunked', post('transfer-encoding: xchunked') + `0\r\n\r\n${PRIZE}`],
    [
      'a vertical tab before chunked',
      post('transfer-encoding: \x0bchunked', 'content-length: 4') + `0\r\n\r\n${PRIZE}`,
    ],
    ['an empty Transfer-Encoding', post('transfer-encoding:', 'content-length: 4') + `abcd${PRIZE}`],
    [
      'Transfer-Encoding in HTTP/1.0',
      head('POST /a HTTP/1.0', 'transfer-encoding: chunked') + `0\r\n\r\n${PRIZE}`,
    ],
    ['a folded line', post('x-a: b', ' transfer-encoding: chunked') + PRIZE],
    ['a folded Transfer-Encoding', post('transfer-encoding:', ' chunked') + `0\r\n\r\n${PRIZE}`],
    ['a first line that is folded', head('GET /a HTTP/1.1', ' host: x') + PRIZE],
    ['a blank before the colon', post('transfer-encoding : chunked') + `0\r\n\r\n${PRIZE}`],
    ['a tab before the colon', post('content-length\t: 4') + `abcd${PRIZE}`],
    ['a bare CR in a value', post('x-a: b\rtransfer-encoding: chunked') + PRIZE],
    ['a bare LF in a value', post('x-a: b\ntransfer-encoding: chunked') + PRIZE],
    ['a bare LF after the request line', `POST /a HTTP/1.1\nhost: x\r\n\r\n${PRIZE}`],
    ['a bare CR after the request line', `POST /a HTTP/1.1\rhost: x\r\n\r\n${PRIZE}`],
    ['bare LFs instead of line ends, closed by a blank line', `GET /a HTTP/1.1\nhost: x\n\n${PRIZE}`],
    ['NUL in a value', post('x-a: b\0c') + PRIZE],
    ['NUL in a name', post('x\0a: b') + PRIZE],
    ['a name in another alphabet', post('transfer-\xe9ncoding: chunked') + PRIZE],
    ['a name of nothing', post(': chunked') + PRIZE],
    ['a line without a colon', post('transfer-encoding chunked') + PRIZE],
    ['a name in quotes', post('"content-length": 4') + PRIZE],
    ['two Hosts', head('GET /a HTTP/1.1', 'host: x', 'host: y') + PRIZE],
    ['201 fields', post(many(201, (n) => `x-${n}: y`)) + PRIZE],
    ['a head over 64 KiB', post(`x-a: ${'y'.repeat(65_536)}`) + PRIZE],
    ['a head over 64 KiB that does not end', `GET /a HTTP/1.1\r\nx-a: ${'y'.repeat(70_000)}`],
    ['a request target over 64 KiB', head(`GET /${'y'.repeat(65_536)} HTTP/1.1`) + PRIZE],
    ['no version', head('GET /a') + PRIZE],
    ['HTTP/0.9', `GET /a\r\n\r\n${PRIZE}`],
    ['HTTP/1.2', head('GET /a HTTP/1.2', 'host: x') + PRIZE],
    ['HTTP/2.0', head('PRI * HTTP/2.0') + `SM\r\n\r\n${PRIZE}`],
    ['a version in lower case', head('GET /a http/1.1') + PRIZE],
    ['two blanks', head('GET  /a HTTP/1.1', 'host: x') + PRIZE],
    ['a tab between', head('GET\t/a\tHTTP/1.1', 'host: x') + PRIZE],
    ['a blank in the target', head('GET /a HTTP/1.1 HTTP/1.1', 'host: x') + PRIZE],
    ['a blank behind the version', head('GET /a HTTP/1.1 ', 'host: x') + PRIZE],
    ['a method that is no token', head('G(T /a HTTP/1.1', 'host: x') + PRIZE],
    ['no method', head(' /a HTTP/1.1', 'host: x') + PRIZE],
    ['NUL in the target', head('GET /a\0b HTTP/1.1', 'host: x') + PRIZE],
    ['CONNECT', head('CONNECT x:80 HTTP/1.1', 'host: x') + PRIZE],
    ['an authority as target', head('GET x:80 HTTP/1.1', 'host: x') + PRIZE],
    ['* for another method than OPTIONS', head('GET * HTTP/1.1', 'host: x') + PRIZE],
    ['another scheme', head('GET ftp://x/a HTTP/1.1', 'host: x') + PRIZE],
    ['an absolute target without a host', head('GET http:///a HTTP/1.1', 'host: x') + PRIZE],
    ['TLS inside TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'],
  ];
  for (const [story, text] of heads) {
    for (const apart of [false, true]) {
      it(`refuses ${story}${apart ? ', cut in pieces' : ''}, and nothing of it reaches the target`, async () => {
        const answer = await exchange(WEB, text, apart);
        expect(answer).to.match(/^HTTP\/1\.1 400 [^]*\r\nconnection: close\r\n/);
        expect(answer.match(/HTTP\/1\.1/g), 'one answer only').to.have.length(1);
        expect(target.text).to.equal('');
      });
    }
  }

  const bodies: readonly (readonly [story: string, body: string])[] = [
    ['a size of nothing', `\r\n\r\n${PRIZE}`],
    ['a size that is no number', `g\r\n\r\n${PRIZE}`],
    ['a size with a sign', `+0\r\n\r\n${PRIZE}`],
    ['a negative size', `-1\r\n\r\n${PRIZE}`],
    ['a size with 0x', `0x0\r\n\r\n${PRIZE}`],
    ['a size with an underscore', `1_0\r\n\r\n${PRIZE}`],
    ['a size with a blank before it', ` 0\r\n\r\n${PRIZE}`],
    ['a size with a blank behind it', `0 \r\n\r\n${PRIZE}`],
    ['a size beyond 2^52', `fffffffffffffff0\r\nabc\r\n0\r\n\r\n${PRIZE}`],
    ['a size beyond 2^64, which overflows to 3', `10000000000000003\r\nabc\r\n0\r\n\r\n${PRIZE}`],
    ['a size of a thousand zeros', `${'0'.repeat(1000)}3\r\nabc\r\n0\r\n\r\n${PRIZE}`],
    ['a bare LF behind the size', `3\nabc\r\n0\r\n\r\n${PRIZE}`],
    ['a bare CR behind the size', `3\rabc\r\n0\r\n\r\n${PRIZE}`],
    ['a bare LF in an extension', `3;a=b\nabc\r\n0\r\n\r\n${PRIZE}`],
    ['a bare CR in an extension', `3;a\rb\r\nabc\r\n0\r\n\r\n${PRIZE}`],
    ['NUL in an extension', `3;a\0\r\nabc\r\n0\r\n\r\n${PRIZE}`],
    ['an extension of 5,000 bytes', `3;${'a'.repeat(5000)}\r\nabc\r\n0\r\n\r\n${PRIZE}`],
    ['an extension without end', `3;${'a'.repeat(100_000)}`],
    ['more bytes than the size says', `3\r\nabcd\r\n0\r\n\r\n${PRIZE}`],
    ['fewer bytes than the size says', `5\r\nabc\r\n0\r\n\r\n${PRIZE}`],
    ['a bare LF behind a chunk', `3\r\nabc\n0\r\n\r\n${PRIZE}`],
    ['a bare LF behind the last chunk', `0\r\n\n${PRIZE}`],
    ['a bare LF in the trailers', `0\r\nx-a: b\n\r\n${PRIZE}`],
    ['a bare CR in the trailers', `0\r\nx-a: b\rc\r\n\r\n${PRIZE}`],
    ['NUL in the trailers', `0\r\nx-a: \0\r\n\r\n${PRIZE}`],
    ['a request line as a trailer', `0\r\n${PRIZE}`],
    ['a folded trailer', `0\r\nx-a: b\r\n c\r\n\r\n${PRIZE}`],
    ['a blank before the colon of a trailer', `0\r\nx-a : b\r\n\r\n${PRIZE}`],
    ['trailers of 20,000 bytes', `0\r\nx-a: ${'y'.repeat(20_000)}\r\n\r\n${PRIZE}`],
    ['trailers without end', `0\r\n${'x-a: b\r\n'.repeat(5000)}`],
  ];
  for (const [story, body] of bodies) {
    for (const apart of [false, true]) {
      it(`ends a chunked body with ${story}${apart ? ', cut in pieces' : ''}: the target gets no complete request`, async () => {
        const answer = await exchange(NODE, chunkedWith(body), apart);
        expect(complete).to.deep.equal([]);
        expect(answer.match(/HTTP\/1\.1/g) ?? [], 'one answer at most').to.have.length.at.most(1);
        // The same at a target that keeps every byte.
        await exchange(WEB, chunkedWith(body), apart);
        expect(target.text).not.to.contain('/smuggled');
        expect(target.text).not.to.match(/\r\n0+\r\n\r\n$/);
      });
    }
  }

  it('answers 400 to a body that breaks before the target has answered', async () => {
    const slow = await WireTarget.start();
    gateway.serve([service(WEB, [target.port]), service(NODE, [slow.port])]);
    expect(await exchange(NODE, chunkedWith(`3\r\nabcX${PRIZE}`), false)).to.match(/^HTTP\/1\.1 400 /);
    gateway.serve([service(WEB, [target.port]), service(NODE, [(server.address() as AddressInfo).port])]);
    await slow.close();
  });

  it('puts no second answer into one that has begun', async () => {
    // The target answers before it has read all; what the client sends then is malformed. A 400 in the middle
    // of the first answer would be read as its body, or as another answer.
    const early = await WireTarget.start(
      answering(() => 'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf'),
    );
    gateway.serve([service(WEB, [early.port])]);
    const client = await gateway.open(WEB, 'http1');
    client.send(chunkedWith('3\r\nabc\r\n'));
    await client.hears(/half$/);
    expect(await client.send('what?\r\n\r\n').whole()).to.match(/^HTTP\/1\.1 200 [^]*half$/);
    gateway.serve([service(WEB, [target.port]), service(NODE, [(server.address() as AddressInfo).port])]);
    await early.close();
  });

  describe('what only proxies may say', () => {
    const spoofs = [
      'l5d-client-id: admin.east',
      'L5D-Client-ID: admin.east',
      'l5d-dst-canonical: secret.demo.svc.cluster.local:80',
      'l5d-anything: x',
    ];
    for (const spoof of spoofs) {
      it(`is not taken from clients: ${spoof}`, async () => {
        const client = await gateway.open(WEB, 'http1');
        await client.send(head('GET /a HTTP/1.1', 'host: x', spoof)).hears(/ok$/);
        const names = [...target.text.matchAll(/^l5d-\S+: .*$/gim)].map(([line]) => line.trim());
        expect(names).to.deep.equal(['l5d-client-id: client.east', `l5d-dst-canonical: ${WEB}:80`]);
        client.socket.destroy();
      });

      it(`is not taken from trailers: ${spoof}`, async () => {
        const client = await gateway.open(WEB, 'http1');
        client.send(chunkedWith(`3\r\nabc\r\n0\r\nx-sum: 1\r\n${spoof}\r\ncontent-length: 5\r\n\r\n`));
        await client.hears(/ok$/);
        expect(target.text).to.match(/\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n$/);
        client.socket.destroy();
      });
    }

    it('cannot be removed by a Connection option, nor can the framing', async () => {
      const client = await gateway.open(WEB, 'http1');
      const options = 'connection: l5d-client-id, forwarded, content-length, host, cookie, x-hop';
      await client.send(post(options, 'x-hop: 1', 'content-length: 3') + 'abc').hears(/ok$/);
      expect(target.text).to.match(/content-length: 3\r\n/);
      expect(target.text).to.match(/l5d-client-id: client\.east\r\n/);
      expect(target.text).not.to.match(/x-hop/);
      client.socket.destroy();
    });
  });

  describe('h2c', () => {
    for (const value of ['h2c', 'H2C', 'websocket, h2c', 'h2', 'h2c/1']) {
      it(`cannot be upgraded to (${value}): inside such a tunnel nobody looks at requests`, async () => {
        const client = await gateway.open(WEB, 'http1');
        const lines = [
          'connection: upgrade, http2-settings',
          `upgrade: ${value}`,
          'http2-settings: AAMAAABk',
        ];
        await client.send(head('GET /a HTTP/1.1', 'host: x', ...lines)).hears(/ok$/);
        expect(target.text).not.to.match(/upgrade|http2-settings/i);
        client.socket.destroy();
      });
    }
  });
});
