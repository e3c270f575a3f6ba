import { expect } from 'chai';
import { forwardedElement, passedBefore } from '../../../../src/gateway/authorization/forwarded.ts';
import { makeField } from '../../../../src/proxy/http/fields.ts';
import { expectLinear } from '../../../support/linear-time.ts';

const passed = (...values: string[]) =>
  passedBefore(
    'gateway.west',
    values.map((value) => makeField('forwarded', value)),
  );

describe('whether a request has been here, by what its Forwarded fields say', () => {
  const cases: readonly [string, string[], boolean][] = [
    ['no field', [], false],
    ['the first pair', ['by=gateway.west;for=a'], true],
    ['merged behind another element, in any case', ['for=a;by=x, for=b; By="GATEWAY.west"'], true],
    ['in a second field', ['by=x', 'by=gateway.west'], true],
    ['blanks around everything', ['for=a ;\t by =  gateway.west \t;host=b'], true],
    ['a pair alone, with blanks on both sides', [' ; by=gateway.west ; ', '; by="x" ;'], true],
    ['a quoted pair with blanks around it', ['for=a\t;\tby\t=\t"gateway.west"\t,for=b'], true],
    ['escapes in a quoted value', ['by="gate\\way.west"'], true],
    ['a pair behind a quote that a client has left open', ['for="a, by=gateway.west;for=b'], true],
    ['… and that closes where we begin one', ['for="a, by=gateway.west;for="b"'], true],
    ['other gateways', ['by=gateway.north;for=gateway.west'], false],
    ['a name that only begins like ours', ['by=gateway.west.evil'], false],
    ['a parameter that only ends like ours', ['nearby=gateway.west'], false],
    ['a pair without a value', ['by', 'by=', 'by="'], false],
  ];
  for (const [story, values, expected] of cases)
    it(`${story}: ${expected ? 'yes' : 'no'}`, () => expect(passed(...values)).to.equal(expected));

  it('reads what we write, whatever our name is', () => {
    for (const own of ['gateway.west', 'spiffe://west/a;b,c', 'a"b\\c']) {
      const field = makeField('forwarded', `for=x, ${forwardedElement(own, 'client', 'web:80')}`);
      expect(passedBefore(own, [field]), own).to.equal(true);
    }
  });

  // `by=<blanks>"a"b` took the gateway 48 s for 3,200 blanks: three repetitions of an expression could each
  // take them. One request without credentials stopped all.
  it('takes time in proportion to the text', () => {
    const texts: ((n: number) => string)[] = [
      (n) => `by=${' '.repeat(n)}"a"b`,
      (n) => `${' '.repeat(n)}by=x`,
      (n) => `by${' '.repeat(n)}x`,
      (n) => 'by="'.repeat(n / 4),
      (n) => ',by="'.repeat(n / 5),
      (n) => ',by="\\'.repeat(n / 6),
      (n) => `by="${'\\"'.repeat(n / 2)}`,
      (n) => ','.repeat(n),
    ];
    for (const text of texts) expectLinear((n) => passed(text(n)), text(8));
  });
});
