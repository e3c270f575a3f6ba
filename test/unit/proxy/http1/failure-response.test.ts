import { expect } from 'chai';
import { lostConnection } from '../../../../src/proxy/http1/failure-response.ts';

describe('The failure of a lost connection', () => {
  // A reset connection was "web:80: the endpoint read ECONNRESET", as if the endpoint had done that.
  for (const [what, error, expected] of [
    ['closed in order', undefined, 'web:80: the endpoint closed the connection before it answered'],
    [
      'reset',
      new Error('read ECONNRESET'),
      'web:80: the connection to the endpoint was lost before it answered: read ECONNRESET',
    ],
  ] as const)
    it(`says who ended it where that is known: ${what}`, () => {
      expect(lostConnection('web:80', undefined, error).message).to.equal(expected);
    });
});
