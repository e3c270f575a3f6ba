import { expect } from 'chai';
import { relatedNames } from '../../../../src/dashboard/page/related-names.ts';

const REPORTS = [
  { service: 'shop/web', local: 'web-west' },
  { service: 'shop/web', local: 'web-far' },
  { service: 'shop/other', local: 'other-west' },
];

describe('names of one Service', () => {
  it('are those of all its mirrors, from whichever one begins', () => {
    for (const whole of ['shop/web', 'shop/web-west', 'shop/web-far'])
      expect([...relatedNames(REPORTS, whole)]).to.have.members([
        'shop/web',
        'shop/web-west',
        'shop/web-far',
      ]);
    expect([...relatedNames(REPORTS, 'bank/web')]).to.deep.equal(['bank/web']);
  });
});
