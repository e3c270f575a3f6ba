import { expect } from 'chai';
import { parse, stringify } from 'yaml';
import { LinkspanError } from '../../../src/api/errors/linkspan-error.ts';
import { loadAccess, withBearer } from '../../../src/kube/client/access.ts';
import { differsInToken, kubeconfigWithToken } from '../../../src/linking/credentials.ts';
import {
  credentialsVerdict,
  expiryOf,
  type Expiry,
} from '../../../src/controllers/link/credentials-verdict.ts';
import { tokenFacts } from '../../../src/linking/token.ts';
import { serviceAccountToken } from '../../support/tokens.ts';

const NOW = Date.UTC(2026, 0, 10);
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

function kubeconfig(user: object, cluster: object = {}): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'west',
    clusters: [{ name: 'west', cluster: { server: 'https://10.0.0.1:6443', ...cluster } }],
    contexts: [{ name: 'west', context: { cluster: 'west', user: 'mirror' } }],
    users: [
      { name: 'other', user: { token: 'other' } },
      { name: 'mirror', user },
    ],
  });
}
const access = (user: object, cluster: object = {}) =>
  loadAccess({ text: kubeconfig(user, cluster), source: 'Secret links/west' });

describe('what a token says of itself', () => {
  it('is whose it is and how long it lives', () => {
    expect(tokenFacts(serviceAccountToken({ issuedAt: NOW, expiresAt: NOW + DAY }))).to.deep.equal({
      account: { namespace: 'linkerd-multicluster', name: 'mirror' },
      issuedAt: NOW,
      expiresAt: NOW + DAY,
    });
  });

  const nothing = { account: undefined, issuedAt: undefined, expiresAt: undefined };
  for (const token of ['', 'abc', 'a.b.c', `x.${Buffer.from('null').toString('base64url')}.y`, 'x.e30.y'])
    it(`is nothing where it is no JWT of an account: "${token}"`, () =>
      expect(tokenFacts(token)).to.deep.equal(nothing));

  it('is not taken from claims of other types', () => {
    const claims = Buffer.from(JSON.stringify({ sub: 7, exp: 'soon', iat: {} })).toString('base64url');
    expect(tokenFacts(`x.${claims}.y`)).to.deep.equal(nothing);
  });
});

describe('whether credentials hold', () => {
  const expiry = (leftMs: number, lifeMs = 30 * DAY): Expiry => ({
    what: 'token',
    issuedAt: NOW + leftMs - lifeMs,
    expiresAt: NOW + leftMs,
  });
  const verdict = (of: Expiry | undefined, renewed = false, renewalError?: Error) => {
    const { status, reason, message } = credentialsVerdict({ expiry: of, renewed, renewalError }, NOW);
    return { words: `${status} ${reason}`, message };
  };
  const cases: readonly [string, Expiry | undefined, boolean, string][] = [
    ['a token without an end', undefined, false, 'True Accepted'],
    ['a token with much life left', expiry(20 * DAY), false, 'True Accepted'],
    ['less than a third of its life', expiry(9 * DAY), false, 'True CredentialsExpiring'],
    ['the same, but somebody renews it', expiry(9 * DAY), true, 'True Accepted'],
    ['two weeks of a year', expiry(13 * DAY, 365 * DAY), false, 'True CredentialsExpiring'],
    ['three weeks of a year', expiry(21 * DAY, 365 * DAY), false, 'True Accepted'],
    ['its last moment', expiry(1), false, 'True CredentialsExpiring'],
    ['its end', expiry(0), false, 'False CredentialsExpired'],
    ['its end, although it should be renewed', expiry(-DAY), true, 'False CredentialsExpired'],
  ];
  for (const [story, of, renewed, words] of cases)
    it(`of ${story}: ${words}`, () => expect(verdict(of, renewed).words).to.equal(words));

  it('gives the date, and why it was not renewed', () => {
    const error = new LinkspanError('TOKEN_REFUSED', 'no token for links/mirror');
    expect(verdict(expiry(2 * DAY), true, error)).to.deep.equal({
      words: 'True RenewalFailed',
      message:
        'the token is valid until 2026-01-12T00:00:00Z; not renewed: [TOKEN_REFUSED] no token for links/mirror. Let the account `create` serviceaccounts/token for itself, as `linkspan allow --token-ttl` prints it.',
    });
    expect(verdict(expiry(-DAY), true, error).message).to.match(
      /^the token expired on 2026-01-09T00:00:00Z; not renewed: .*; run `linkspan link` again$/,
    );
  });

  it('say so where a token without an end could not be replaced by one with an end', () => {
    const error = new LinkspanError('TOKEN_REFUSED', 'no token for links/mirror');
    expect(verdict(undefined, true, error)).to.have.property('words', 'True RenewalFailed');
  });

  it('looks at the token first, at the client certificate where there is none', () => {
    const token = serviceAccountToken({ issuedAt: NOW, expiresAt: NOW + DAY });
    expect(expiryOf(access({ token }))).to.include({ what: 'token', expiresAt: NOW + DAY });
    expect(expiryOf(access({ token: 'opaque' }))).to.equal(undefined);
    // Damaged certificates are for TLS to complain about.
    expect(expiryOf({ bearer: undefined, cert: 'no certificate' })).to.equal(undefined);
  });
});

describe('another token', () => {
  it('goes to the user of the current context, and nothing else of the kubeconfig changes', () => {
    const before = `# kept\n${kubeconfig({ token: 'old' }, { 'tls-server-name': 'api.west' })}`;
    const after = kubeconfigWithToken(before, 'new');
    expect(after).to.match(/^# kept\n/);
    expect(parse(after)).to.deep.equal(
      parse(kubeconfig({ token: 'new' }, { 'tls-server-name': 'api.west' })),
    );
  });

  it('is refused by a kubeconfig that names no user', () => {
    expect(() => kubeconfigWithToken('apiVersion: v1\nkind: Config\n', 'new')).to.throw(/names no user/);
  });

  it('is told from any other change', () => {
    const old = access({ token: 'old' });
    expect(differsInToken(access({ token: 'new' }), old)).to.equal(true);
    expect(differsInToken(access({ token: 'new' }, { server: 'https://10.0.0.2:6443' }), old)).to.equal(
      false,
    );
    expect(differsInToken(access({ token: 'new' }, { 'tls-server-name': 'x' }), old)).to.equal(false);
    expect(differsInToken(access({}), old)).to.equal(false);
  });
});

describe("the account's own access", () => {
  it('has the server and its authority, and nothing of the person who links', async () => {
    const person = {
      ...access({ 'client-certificate-data': pem('CERTIFICATE'), 'client-key-data': pem('PRIVATE KEY') }),
      impersonate: { user: 'admin', groups: ['system:masters'] },
    };
    const account = withBearer(person, 'token');
    expect(await account.auth.authorization()).to.equal('Bearer token');
    expect(account).to.include({ server: person.server, cert: undefined, key: undefined, bearer: 'token' });
    expect(account).not.to.have.property('impersonate');
  });

  function pem(label: string): string {
    return Buffer.from(`-----BEGIN ${label}-----\nMIIB\n-----END ${label}-----\n`).toString('base64');
  }
});
