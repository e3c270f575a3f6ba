import { expect } from 'chai';
import fc from 'fast-check';
import {
  encodeTransportHeader,
  HeaderError,
  TransportHeaderDecoder,
  type TransportHeader,
} from '../../../../src/proxy/io/transport-header.ts';

/** Frames a message as Linkerd does: preface, big-endian length. */
function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([Buffer.from('transport.l5d.io/v1\r\n\r\n'), length, message]);
}

function decode(...pieces: Buffer[]): { header: TransportHeader; rest: Buffer } | undefined {
  const decoder = new TransportHeaderDecoder();
  for (const [at, piece] of pieces.entries()) {
    const decoded = decoder.push(piece);
    if (decoded !== undefined)
      return { ...decoded, rest: Buffer.concat([decoded.rest, ...pieces.slice(at + 1)]) };
  }
  return undefined;
}

describe('transport header', () => {
  const captured: readonly [string, string, TransportHeader][] = [
    [
      'HTTP/2',
      '08903f121a7765622e64656d6f2e7376632e636c75737465722e6c6f63616c1a021200',
      { name: 'web.demo.svc.cluster.local', port: 8080, protocol: 'http2' },
    ],
    [
      'opaque',
      '08a846121b6563686f2e64656d6f2e7376632e636c75737465722e6c6f63616c',
      { name: 'echo.demo.svc.cluster.local', port: 9000, protocol: 'opaque' },
    ],
    ['nameless HTTP/1', '08903f1a020a00', { name: '', port: 8080, protocol: 'http1' }],
    [
      'unknown fields',
      '2205hello'.replace('hello', '68656c6c6f') + '08903f',
      { name: '', port: 8080, protocol: 'opaque' },
    ],
  ];
  for (const [story, hex, header] of captured) {
    it(`reads what linkerd2-proxy sends: ${story}`, () => {
      expect(decode(framed(Buffer.from(hex, 'hex')))?.header).to.deep.equal(header);
    });
  }

  it('is the same however the bytes are split, and leaves what follows it', () => {
    const bytes = Buffer.concat([
      encodeTransportHeader({ name: 'web.demo.svc.cluster.local', port: 80, protocol: 'http1' }),
      Buffer.from('GET / '),
    ]);
    for (let at = 0; at <= bytes.length; at++) {
      const decoded = decode(bytes.subarray(0, at), bytes.subarray(at));
      expect(decoded?.header.port).to.equal(80);
      expect(decoded?.rest.toString()).to.equal('GET / ');
    }
  });

  it('reads what it writes', () => {
    const header = fc.record({
      name: fc.constantFrom('', 'a', 'web.demo.svc.cluster.local'),
      port: fc.integer({ min: 1, max: 65_535 }),
      protocol: fc.constantFrom('http1' as const, 'http2' as const, 'opaque' as const),
    });
    fc.assert(
      fc.property(header, (value) => {
        expect(decode(encodeTransportHeader(value))?.header).to.deep.equal(value);
      }),
    );
  });

  const bad: readonly [string, Buffer][] = [
    ['something else than a header', Buffer.from('GET / HTTP/1.1\r\n')],
    ['port 0', framed(Buffer.from('0800', 'hex'))],
    ['a port over 65535', framed(Buffer.from('08ffff7f', 'hex'))],
    ['no port', framed(Buffer.alloc(0))],
    ['a name that is none', framed(Buffer.from('08501203612f62', 'hex'))],
    // A port of 4 bytes, a name or a protocol that is a number: whatever was meant, port 80 without a name
    // was taken.
    ['a port that is bytes', framed(Buffer.from('08500a0150', 'hex'))],
    ['a port of fixed width', framed(Buffer.from('08500d50000000', 'hex'))],
    ['a name that is a number', framed(Buffer.from('08501001', 'hex'))],
    ['a name of fixed width', framed(Buffer.from('0850156d6f6f6e', 'hex'))],
    ['a protocol that is a number', framed(Buffer.from('08501801', 'hex'))],
    ['a kind of protocol that is a number', framed(Buffer.from('08501a020801', 'hex'))],
    ['a kind of protocol that is no message', framed(Buffer.from('08501a030a0108', 'hex'))],
    ['a name cut short', framed(Buffer.from('0850121061', 'hex'))],
    [
      'a message over 64 KiB',
      Buffer.concat([Buffer.from('transport.l5d.io/v1\r\n\r\n'), Buffer.from('00010001', 'hex')]),
    ],
  ];
  for (const [story, bytes] of bad) {
    it(`refuses ${story}`, () => expect(() => decode(bytes)).to.throw(HeaderError));
  }

  it('never throws anything else, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decode(framed(Buffer.from(bytes)));
        } catch (error) {
          expect(error).to.be.instanceOf(HeaderError);
        }
      }),
    );
  });
});
