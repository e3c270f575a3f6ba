import { expect } from 'chai';
import fc from 'fast-check';
import {
  ACCOUNT_TOKEN_SELECTOR,
  accountOfToken,
  accountTokenSecret,
  tokenIn,
} from '../../../../src/api/credentials/account-token.ts';

describe('the Secret with the token of an account', () => {
  it('is read as it was written, and as the API server fills it', () =>
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z]{1,9}$/), fc.string({ minLength: 1 }), (account, token) => {
        const secret = accountTokenSecret(account, { name: `${account}-token`, namespace: 'x' });
        expect(accountOfToken(secret)).to.equal(account);
        expect(`type=${secret.type}`).to.equal(ACCOUNT_TOKEN_SELECTOR);
        expect(tokenIn(secret)).to.equal(undefined);
        const filled = { ...secret, data: { token: Buffer.from(token).toString('base64') } };
        expect(tokenIn(filled)).to.equal(token);
      }),
    ));
});
