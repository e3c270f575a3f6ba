import { expect } from 'chai';
import fc from 'fast-check';
import { isIP } from 'node:net';
import { addressBytes, IpRanges, neverRemote } from '../../../src/base/ip-ranges.ts';
import { expectUnnoticed } from '../../support/linear-time.ts';

describe('addresses that no other cluster can have', () => {
  // Each of these was, in some product, the form that slipped through a filter for 127.0.0.1 or
  // 169.254.169.254.
  const never: readonly (readonly [string, string])[] = [
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['::1', 'loopback'],
    ['0:0:0:0:0:0:0:1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::ffff:7f00:1', 'loopback'],
    ['::127.0.0.1', 'loopback'],
    ['64:ff9b::7f00:1', 'loopback'],
    ['64:ff9b::127.0.0.1', 'loopback'],
    ['2002:7f00:1::', 'loopback'],
    ['169.254.169.254', 'link-local'],
    ['::ffff:169.254.169.254', 'link-local'],
    ['2002:a9fe:a9fe::1', 'link-local'],
    ['fe80::1', 'link-local'],
    ['febf::1', 'link-local'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['ff02::1', 'multicast'],
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['::', 'unspecified'],
    ['255.255.255.255', 'broadcast'],
    ['::ffff:255.255.255.255', 'broadcast'],
    ['fd00:ec2::254', "a cloud's metadata service"],
    ['100.100.100.200', "a cloud's metadata service"],
    ['168.63.129.16', "a cloud's metadata service"],
    ['192.0.0.192', "a cloud's metadata service"],
    // What resolvers take for an address, and nobody else.
    ['127.1', 'not an IP address'],
    ['0177.0.0.1', 'not an IP address'],
    ['2130706433', 'not an IP address'],
    ['0x7f.0.0.1', 'not an IP address'],
    ['fe80::1%eth0', 'not an IP address'],
    [' 10.0.0.1', 'not an IP address'],
    ['10.0.0.1\n', 'not an IP address'],
    ['gw.example.com', 'not an IP address'],
    ['', 'not an IP address'],
  ];
  for (const [address, what] of never)
    it(`${JSON.stringify(address)} is ${what}`, () => expect(neverRemote(address)).to.equal(what));

  for (const address of [
    '10.0.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '240.1.2.3',
    '8.8.8.8',
    '2001:db8::1',
    'fd00::1',
    '::ffff:10.0.0.1',
  ])
    it(`${address} is an address like any other`, () => expect(neverRemote(address)).to.equal(undefined));

  it('costs no more than its length, whatever the text', () => {
    for (const text of ['1'.repeat(1_000_000), ':'.repeat(1_000_000), '1.'.repeat(500_000)]) {
      expect(neverRemote(text)).to.equal('not an IP address');
      expectUnnoticed(() => neverRemote(text), `neverRemote of ${text.slice(0, 2)}…`);
    }
  });
});

describe('address ranges', () => {
  it('hold the addresses of both families, in every form', () => {
    const ranges = new IpRanges(['10.96.0.0/12', 'fd00:10::/32', '192.0.2.7']);
    expect(ranges.find('10.111.255.255')).to.equal('10.96.0.0/12');
    expect(ranges.find('10.112.0.0')).to.equal(undefined);
    expect(ranges.find('::ffff:10.96.0.1')).to.equal('10.96.0.0/12');
    expect(ranges.find('fd00:10:0::1')).to.equal('fd00:10::/32');
    expect(ranges.find('fd00:11::1')).to.equal(undefined);
    expect(ranges.find('192.0.2.7')).to.equal('192.0.2.7');
    expect(ranges.find('192.0.2.8')).to.equal(undefined);
    expect(ranges.find('nonsense')).to.equal(undefined);
  });

  for (const text of [
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0/8',
    'fd00::/129',
    'x',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
  ])
    it(`refuse ${text}`, () => expect(() => new IpRanges([text])).to.throw(RangeError, text));

  it('hold exactly the addresses that share their leading bits', () => {
    const word = fc.integer({ min: 0, max: 0xff_ff_ff_ff });
    const dotted = (value: number) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.');
    fc.assert(
      fc.property(word, word, fc.integer({ min: 0, max: 32 }), (network, address, bits) => {
        const mask = bits === 0 ? 0 : (0xff_ff_ff_ff << (32 - bits)) >>> 0;
        const inside = (network & mask) >>> 0 === (address & mask) >>> 0;
        const range = new IpRanges([`${dotted(network)}/${bits}`]);
        expect(range.find(dotted(address)) !== undefined).to.equal(inside);
      }),
    );
  });

  it('hold exactly these in either family, in a range that both have a part of too', () => {
    const bits128 = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n });
    const mapped = fc.integer({ min: 0, max: 0xff_ff_ff_ff }).map((word) => (0xffffn << 32n) | BigInt(word));
    const text = (value: bigint) =>
      Array.from({ length: 8 }, (_, nth) => ((value >> BigInt(112 - 16 * nth)) & 0xffffn).toString(16)).join(
        ':',
      );
    fc.assert(
      fc.property(
        fc.oneof(bits128, mapped),
        fc.oneof(
          fc.nat(127).map((bit) => 1n << BigInt(bit)),
          bits128,
        ),
        fc.integer({ min: 0, max: 128 }),
        (network, difference, bits) => {
          const ranges = new IpRanges([`${text(network)}/${bits}`, '2001:db8::/128', '192.0.2.255']);
          const inside = difference >> BigInt(128 - bits) === 0n;
          expect(ranges.find(text(network ^ difference)) !== undefined).to.equal(inside);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('read any IPv6 address as its bytes', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const bytes = addressBytes(text);
        // The platform's own parser, which canonicalises.
        const canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1);
        expect(bytes).to.deep.equal(addressBytes(canonical));
      }),
    );
  });

  it('takes the texts that Node takes for addresses, and no others', () => {
    const group = fc.oneof(
      fc.constantFrom('', '0', 'ff', 'AbC', '10.0.0.1', '1.2.3', '12345', 'g', '01', ' '),
      fc.nat(0xffff).map((value) => value.toString(16)),
    );
    const parts = fc.array(group, { maxLength: 10 }).map((groups) => groups.join(':'));
    const changed = fc
      .tuple(fc.ipV6(), fc.nat(44), fc.constantFrom(':', '::', '1', '.', 'x', ''))
      .map(([text, at, piece]) => text.slice(0, at) + piece + text.slice(at + 1));
    fc.assert(
      fc.property(fc.oneof(fc.ipV6(), fc.ipV4(), parts, changed), (text) => {
        fc.pre(!text.includes('%') && text.length <= 45);
        expect(addressBytes(text) !== undefined, text).to.equal(isIP(text) !== 0);
      }),
      { numRuns: 5000 },
    );
  });
});
