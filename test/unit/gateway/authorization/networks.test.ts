import { expect } from 'chai';
import fc from 'fast-check';
import { inNetworks, isNetwork } from '../../../../src/gateway/authorization/networks.ts';

/** An address that is wrongly taken for one of a network is a client let in who should not be. */
describe('networks of policies', () => {
  const cases: readonly [string, string, readonly string[], boolean][] = [
    ['10.1.2.3', '10.0.0.0/8', [], true],
    ['11.1.2.3', '10.0.0.0/8', [], false],
    ['10.1.2.3', '10.1.2.3', [], true],
    ['10.1.2.4', '10.1.2.3', [], false],
    ['10.1.2.3', '10.1.2.3/32', [], true],
    ['1.2.3.4', '0.0.0.0/0', [], true],
    ['10.1.2.3', '10.9.9.9/8', [], true],
    ['10.1.2.3', '10.0.0.0/8', ['10.1.0.0/16'], false],
    ['10.2.2.3', '10.0.0.0/8', ['10.1.0.0/16'], true],
    ['10.1.2.3', '10.0.0.0/8', ['10.1.2.3'], false],
    ['::ffff:10.1.2.3', '10.0.0.0/8', [], true],
    ['::ffff:a01:203', '10.0.0.0/8', [], true],
    ['10.1.2.3', '::/0', [], false],
    ['fd00::1', '0.0.0.0/0', [], false],
    ['fd00::1', '::/0', [], true],
    ['fd00:1:2::3', 'fd00:1::/32', [], true],
    ['fd00:2:2::3', 'fd00:1::/32', [], false],
    ['fe80::1%eth0', 'fe80::/10', [], true],
    ['10.1.2.3', '10.0.0.0/33', [], false],
    ['10.1.2.3', '10.0.0.0/', [], false],
    ['10.1.2.3', '10.0.0.0/8/8', [], false],
    ['10.1.2.3', 'everyone', [], false],
    ['10.1.2.3', '10.0.0.0/8', ['nobody'], false],
    ['', '0.0.0.0/0', [], false],
  ];
  for (const [address, cidr, except, expected] of cases) {
    const without = except.length === 0 ? '' : ` without ${except.join()}`;
    it(`${cidr}${without} ${expected ? 'holds' : 'does not hold'} "${address}"`, () =>
      expect(inNetworks([{ cidr, except: [...except] }], address)).to.equal(expected));
  }

  it('hold an address when one of them does', () => {
    expect(inNetworks([{ cidr: '10.0.0.0/8' }, { cidr: '192.168.0.0/16' }], '192.168.1.1')).to.equal(true);
    expect(inNetworks([], '192.168.1.1')).to.equal(false);
  });

  it('hold every address of their own, in either family', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(128), (address, length) => {
        const bits = address.includes(':') ? 128 : 32;
        const cidr = `${address}/${Math.min(length, bits)}`;
        expect(isNetwork(cidr)).to.equal(true);
        expect(inNetworks([{ cidr }], address)).to.equal(true);
        expect(inNetworks([{ cidr, except: [address] }], address)).to.equal(false);
      }),
    );
  });
});
