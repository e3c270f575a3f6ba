import { expect } from 'chai';
import type { MeshPeer } from '../../../../src/proxy/io/dial-address.ts';
import {
  applicationProtocol,
  someOverHttp2,
  type Transport,
  transportTo,
} from '../../../../src/proxy/upstream/endpoint-transport.ts';

const plain = { host: '10.0.0.1', port: 80 };
const mesh: MeshPeer = { identity: 'web.demo', port: 4143, opaque: false };
const meshed = { ...plain, mesh };
const unread = { ...plain, mesh: { ...mesh, opaque: true } };
const taking = { takes: () => true };
const refusing = { takes: () => false };

describe('the way of a request to an endpoint', () => {
  const cases: readonly [what: string, ...Parameters<typeof transportTo>, Transport][] = [
    ['HTTP/1 to an application', plain, 'http1', undefined, 'http1'],
    ['HTTP/2 to an application', plain, 'http2', undefined, 'http2'],
    ['HTTP/1 behind a mesh proxy', meshed, 'http1', undefined, 'upgraded'],
    ['HTTP/2 behind a mesh proxy', meshed, 'http2', undefined, 'http2'],
    ['HTTP/1 behind a mesh proxy that does not look into it', unread, 'http1', undefined, 'http1'],
    ['HTTP/1 where the endpoint takes streams', plain, 'http1', taking, 'stream'],
    ['HTTP/2 where the endpoint takes streams', meshed, 'http2', taking, 'stream'],
    ['HTTP/1 where it takes none', meshed, 'http1', refusing, 'upgraded'],
  ];
  for (const [what, endpoint, protocol, streams, expected] of cases)
    it(`${what}: ${expected}`, () => expect(transportTo(endpoint, protocol, streams)).to.equal(expected));

  it('may be another than HTTP/1 where some endpoint has one', () => {
    expect(someOverHttp2(undefined, false, undefined)).to.equal(false);
    expect(someOverHttp2('http1', true, undefined)).to.equal(true);
    expect(someOverHttp2('opaque', true, undefined)).to.equal(false);
    expect(someOverHttp2('http2', false, undefined)).to.equal(true);
    expect(someOverHttp2('opaque', false, { possible: true })).to.equal(true);
    expect(someOverHttp2('http1', false, { possible: false })).to.equal(false);
  });

  it('goes by what the Service says, else by what the client speaks', () => {
    expect(applicationProtocol('http2', 'HTTP/1.1')).to.equal('http2');
    expect(applicationProtocol('http1', 'HTTP/2')).to.equal('http1');
    expect(applicationProtocol(undefined, 'HTTP/2')).to.equal('http2');
    expect(applicationProtocol('opaque', 'HTTP/1.0')).to.equal('http1');
  });
});
