import { expect } from 'chai';
import fc from 'fast-check';
import { bytesField, ProtobufError } from '../../../../src/base/protobuf.ts';
import {
  decodeCertifyRequest,
  decodeCertifyResponse,
  encodeCertifyRequest,
  encodeCertifyResponse,
} from '../../../../src/identity/sources/certify-messages.ts';

const bytes = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((raw) => Buffer.from(raw));

describe('messages of Identity.Certify', () => {
  it('gives back the request that was written', () => {
    fc.assert(
      fc.property(fc.record({ identity: fc.string(), token: bytes, csr: bytes }), (request) => {
        const read = decodeCertifyRequest(encodeCertifyRequest(request));
        // Lone surrogates have no UTF-8.
        expect(read).to.deep.equal({ ...request, identity: request.identity.toWellFormed() });
      }),
    );
  });

  it('gives back the response that was written', () => {
    const times = fc.option(fc.integer({ min: 0, max: 8e14 }), { nil: undefined });
    const responses = fc.record({ leaf: bytes, intermediates: fc.array(bytes), validUntil: times });
    fc.assert(
      fc.property(responses, (response) => {
        expect(decodeCertifyResponse(encodeCertifyResponse(response))).to.deep.equal(response);
      }),
    );
  });

  // The field numbers are the contract; a codec that only understands itself would pass the tests above.
  it('writes the fields that linkerd2-proxy-api numbers', () => {
    const message = encodeCertifyRequest({ identity: 'a', token: Buffer.from('b'), csr: Buffer.from('c') });
    expect(message.toString('hex')).to.equal('0a01611201621a0163');
  });

  it('reads valid_until from seconds and nanoseconds', () => {
    const message = Buffer.from('0a01611a090896011080cab5ee01', 'hex');
    expect(decodeCertifyResponse(message).validUntil).to.equal(150_500);
  });

  it('skips what it does not know', () => {
    const message = Buffer.concat([bytesField(9, 'x'), bytesField(1, 'leaf')]);
    expect(decodeCertifyResponse(message).leaf.toString()).to.equal('leaf');
  });

  // A fixed-width field passed for bytes, and a number where bytes belong for a field that was not there.
  it('refuses fields that are known, of another wire type', () => {
    const leaf = '0a0161';
    for (const hex of [
      '0801',
      '0d61616161',
      `${leaf}1001`,
      `${leaf}1801`,
      `${leaf}1a030a0108`,
      `${leaf}1a0509`,
    ])
      expect(() => decodeCertifyResponse(Buffer.from(hex, 'hex')), hex).to.throw(ProtobufError);
    for (const hex of ['0801', '1001', '1801', '0961616161616161'])
      expect(() => decodeCertifyRequest(Buffer.from(hex, 'hex')), hex).to.throw(ProtobufError);
  });

  it('refuses an answer without a leaf', () => {
    expect(() => decodeCertifyResponse(bytesField(2, 'x'))).to.throw(ProtobufError, 'no leaf');
  });
});
