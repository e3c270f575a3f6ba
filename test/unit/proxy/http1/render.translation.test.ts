import { expect } from 'chai';
import { STATUS_CODES } from 'node:http';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import { parseRequestHead, parseResponseHead } from '../../../../src/proxy/http1/head.ts';
import { reasonPhrase } from '../../../../src/proxy/http1/reason-phrases.ts';
import { renderRequest, splitTarget } from '../../../../src/proxy/http1/render.ts';
import { HpackDecoder } from '../../../../src/proxy/http2/hpack/decoder.ts';
import { HpackEncoder } from '../../../../src/proxy/http2/hpack/encoder.ts';
import { readRequest } from '../../../../src/proxy/http2/message.ts';
import { initialRemoteSettings, readSettings } from '../../../../src/proxy/http2/remote-settings.ts';

/**
 * Small things that one side says and the other is entitled to hear: each was lost, refused or changed on the
 * way.
 */
describe('what is said of a message', () => {
  const rendered = (head: string) =>
    renderRequest(parseRequestHead(Buffer.from(`${head}\r\n\r\n`, 'latin1')), { host: undefined, added: [] });
  const request = (...fields: readonly (readonly [string, string])[]) =>
    readRequest(
      [[':method', 'GET'], [':scheme', 'http'], [':path', '/'], ...fields].map(([name = '', value = '']) =>
        makeField(name, value),
      ),
      true,
    );

  it('TE: trailers reaches an HTTP/1 target, since trailers are passed on', () => {
    const text = rendered('GET / HTTP/1.1\r\nhost: a\r\nte: deflate, trailers\r\nconnection: te');
    expect(text).to.include('te: trailers\r\nconnection: te\r\n').and.to.not.include('deflate');
    expect(rendered('GET / HTTP/1.1\r\nhost: a\r\nte: deflate')).to.not.include('te:');
    expect(rendered('GET / HTTP/1.0\r\nhost: a\r\nte: trailers')).to.not.include('te:');
  });

  it('OPTIONS of a whole server is asked for by "*", and only that', () => {
    expect(splitTarget('http://a.b', 'OPTIONS')).to.deep.equal({ path: '*', authority: 'a.b' });
    expect(splitTarget('http://a.b/', 'OPTIONS').path).to.equal('/');
    expect(splitTarget('http://a.b?x', 'OPTIONS').path).to.equal('/?x');
    expect(splitTarget('http://a.b', 'GET').path).to.equal('/');
  });

  it('user information is in no authority, and no Host', () => {
    expect(request([':authority', 'user:pw@a.b'])).to.equal('the authority is not valid');
    expect(request(['host', 'user@a.b'])).to.equal('the Host is not valid');
    expect(request([':authority', 'a.b'])).to.include({ authority: 'a.b' });
  });

  it('an empty Host says that there is no authority', () => {
    expect(request(['host', ''])).to.include({ authority: '' });
    expect(request([':authority', ''])).to.equal('the authority is not valid');
  });

  it('what HTTP/2 answers has a reason phrase over HTTP/1, known or not: h2load counts others as failed', () => {
    for (const [code, phrase] of Object.entries(STATUS_CODES)) {
      // Two are not registered, two have another name since RFC 9110.
      if (!['418', '509', '413', '422'].includes(code))
        expect(reasonPhrase(Number(code)), code).to.equal(phrase);
    }
    expect([299, 499, 599, 999].map(reasonPhrase)).to.deep.equal([
      'Success',
      'Client Error',
      'Server Error',
      'Unknown',
    ]);
  });

  it('an application may set 250 cookies', () => {
    const text = `HTTP/1.1 200 OK\r\n${'set-cookie: a=b\r\n'.repeat(250)}\r\n`;
    expect(parseResponseHead(Buffer.from(text), 'GET').fields).to.have.length(250);
  });

  it('the smallest of several table sizes in one SETTINGS frame is said in the next block', () => {
    const payload = Buffer.from('000100000000000100001000', 'hex');
    const settings = initialRemoteSettings();
    readSettings(payload, settings, 'server');
    expect([settings.leastHeaderTableSize, settings.headerTableSize]).to.deep.equal([0, 4096]);
    const encoder = new HpackEncoder();
    encoder.setMaxCapacity(settings.headerTableSize, settings.leastHeaderTableSize);
    const block = Buffer.alloc(64);
    const end = encoder.encode([makeField('x-a', 'b')], block, 0);
    // RFC 7541 section 6.3: 001 and the size, 0 first.
    expect(block[0]).to.equal(0x20);
    expect((block[1] ?? 0) & 0xe0).to.equal(0x20);
    expect(new HpackDecoder().decode(block.subarray(0, end)).fields.map(({ value }) => value)).to.deep.equal([
      'b',
    ]);
  });
});
