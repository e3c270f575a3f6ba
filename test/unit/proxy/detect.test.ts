import { expect } from 'chai';
import { detectProtocol } from '../../../src/proxy/detect.ts';

describe('protocol detection', () => {
  const cases: readonly [string, string | undefined][] = [
    ['GET / HTTP/1.1\r\n', 'http1'],
    ['POST /x HTTP/1.0\r\nhost: a', 'http1'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http2'],
    ['G', undefined],
    ['GET /very/long', undefined],
    ['GET / HTTP/1.1\r', undefined],
    ['PRI * HTTP/2.0\r\n', undefined],
    ['\x16\x03\x01', 'opaque'],
    ['hello\n', 'opaque'],
    ['GET / FTP/1.1\r\n', 'opaque'],
    [`GET /${'a'.repeat(9000)}`, 'opaque'],
  ];
  for (const [text, expected] of cases) {
    it(`${JSON.stringify(text.slice(0, 30))} is ${expected ?? 'not decided yet'}`, () => {
      expect(detectProtocol(Buffer.from(text, 'latin1'))).to.equal(expected);
    });
  }
});
