import { expect } from 'chai';
import fc from 'fast-check';
import {
  bytesField,
  ProtobufError,
  ProtobufWriter,
  readFields,
  varintField,
} from '../../../src/base/protobuf.ts';

const number = fc.integer({ min: 1, max: 0x1fff_ffff });

describe('protobuf', () => {
  it('gives back the fields that were written, in order', () => {
    const field = fc.oneof(
      fc.record({ number, varint: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
      fc.record({ number, bytes: fc.uint8Array({ maxLength: 300 }) }),
    );
    fc.assert(
      fc.property(fc.array(field), (fields) => {
        const message = Buffer.concat(
          fields.map((one) =>
            'varint' in one ? varintField(one.number, one.varint) : bytesField(one.number, one.bytes),
          ),
        );
        const read = [...readFields(message)].map(({ number, varint, bytes }) =>
          bytes === undefined ? { number, varint } : { number, bytes: new Uint8Array(bytes) },
        );
        expect(read).to.deep.equal(fields);
      }),
    );
  });

  it('throws ProtobufError and nothing else, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          [...readFields(Buffer.from(bytes))].forEach(() => undefined);
        } catch (error) {
          expect(error).to.be.instanceOf(ProtobufError);
        }
      }),
    );
  });

  it('writes negative numbers as int64 has them', () => {
    const [field] = readFields(varintField(1, -5n));
    expect(BigInt.asIntN(64, field?.varint ?? 0n)).to.equal(-5n);
  });

  it('writes into one buffer what fields written one by one are, and fixed numbers', () => {
    const writer = new ProtobufWriter();
    const long = Buffer.alloc(20_000, 'é');
    writer.bytes(1, long);
    writer.message(2, () => writer.string(3, 'größer'));
    writer.uint(4, 2 ** 50);
    const fields = [
      bytesField(1, long),
      bytesField(2, bytesField(3, 'größer')),
      varintField(4, 2n ** 50n),
      Buffer.from('2d010000804102000000000000ff', 'hex'),
    ];
    writer.fixed32(5, 0x8000_0001);
    writer.fixed64(8, 0xff00_0000_0000_0002n);
    expect(writer.take().toString('hex')).to.equal(Buffer.concat(fields).toString('hex'));
    expect(writer.length).to.equal(0);
  });

  it('says that a field is cut short', () => {
    const whole = bytesField(3, 'hello');
    expect(() => [...readFields(whole.subarray(0, -1))]).to.throw(ProtobufError, 'field 3 is cut short');
  });
});
