import { expect } from 'chai';
import fc from 'fast-check';
import { identityName } from '../../../../src/identity/names/identity-name.ts';
import {
  type CsrFacts,
  DENIAL_REASONS,
  signerVerdict,
  type RequestFacts,
  type SignerVerdict,
} from '../../../../src/identity/signer/csr-approval.ts';

const RULES = { controlNamespace: 'linkerd', trustDomain: 'cluster.local' };
const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const usages = ['digital signature', 'server auth', 'client auth'];

function facts(change: Partial<CsrFacts> = {}, request: Partial<RequestFacts> = {}): CsrFacts {
  return {
    username: 'system:serviceaccount:demo:web',
    usages,
    expirationSeconds: undefined,
    request: {
      subject: [],
      dnsNames: ['web.demo.serviceaccount.identity.linkerd.cluster.local'],
      otherNames: [],
      key: 'P-256',
      proven: true,
      ...request,
    },
    ...change,
  };
}

function reasonOf(verdict: SignerVerdict): string {
  return verdict.allowed ? 'allowed' : verdict.reason;
}
const decide = (change: Partial<CsrFacts> = {}, request: Partial<RequestFacts> = {}) =>
  reasonOf(signerVerdict(facts(change, request), RULES));

const WEB = 'web.demo.serviceaccount.identity.linkerd.cluster.local';

describe('mayBe', () => {
  it('gives a service account its own identity, for a day and both ends', () => {
    expect(signerVerdict(facts(), RULES)).to.deep.equal({
      allowed: true,
      identity: WEB,
      lifetimeMs: 24 * 3_600_000,
      server: true,
      client: true,
    });
  });

  it("gives nobody another's identity, whatever else the request says", () => {
    const anyone = fc.record({ namespace: label, serviceAccount: label });
    const anything = fc.record({
      subject: fc.array(fc.record({ type: fc.constantFrom('CN', 'O'), value: fc.string() }), {
        maxLength: 2,
      }),
      otherNames: fc.array(fc.constantFrom('ip', 'url', 'email'), { maxLength: 1 }),
      key: fc.constantFrom('P-256', 'P-384', 'RSASSA-PKCS1-v1_5'),
      proven: fc.boolean(),
    });
    fc.assert(
      fc.property(anyone, anyone, anything, fc.boolean(), (requester, wanted, rest, exact) => {
        const own = identityName({ ...requester, ...RULES });
        const name = exact ? own : identityName({ ...wanted, ...RULES });
        const username = `system:serviceaccount:${requester.namespace}:${requester.serviceAccount}`;
        const verdict = signerVerdict(facts({ username }, { ...rest, dnsNames: [name] }), RULES);
        const clean =
          name === own &&
          rest.otherNames.length === 0 &&
          rest.key === 'P-256' &&
          rest.proven &&
          (rest.subject.length === 0 ||
            (rest.subject.length === 1 && rest.subject[0]?.type === 'CN' && rest.subject[0].value === own));
        expect(verdict.allowed).to.equal(clean);
        if (verdict.allowed) expect(verdict.identity).to.equal(own);
        else expect(DENIAL_REASONS).to.have.property(verdict.reason);
      }),
    );
  });

  it('never throws, whoever asks for whatever', () => {
    const any = fc.record({
      username: fc.oneof(
        fc.string(),
        fc.string().map((text) => `system:serviceaccount:${text}`),
      ),
      usages: fc.array(fc.string()),
      expirationSeconds: fc.option(fc.integer(), { nil: undefined }),
      request: fc.option(
        fc.record({
          subject: fc.array(fc.record({ type: fc.string(), value: fc.string() })),
          dnsNames: fc.array(fc.string()),
          otherNames: fc.array(fc.string()),
          key: fc.string(),
          proven: fc.boolean(),
        }),
        { nil: undefined },
      ),
    });
    fc.assert(fc.property(any, (csr) => void expect(signerVerdict(csr, RULES).allowed).to.equal(false)));
  });

  // Nothing ends a leaf but its life: that is not for whoever asks to choose, least of all for who has stolen
  // a token.
  it('keeps the life within ten minutes and what the operator allows, which is a day where nothing is said', () => {
    const DAY_MS = 86_400_000;
    const life = fc.oneof(fc.integer(), fc.integer({ min: 600, max: 100 * 86_400 }));
    fc.assert(
      fc.property(
        life,
        fc.constantFrom(undefined, DAY_MS / 24, 7 * DAY_MS),
        (expirationSeconds, maxLifetimeMs) => {
          const rules = maxLifetimeMs === undefined ? RULES : { ...RULES, maxLifetimeMs };
          const most = maxLifetimeMs ?? DAY_MS;
          const verdict = signerVerdict(facts({ expirationSeconds }), rules);
          expect(verdict.allowed && verdict.lifetimeMs).to.be.within(600_000, most);
          if (verdict.allowed && expirationSeconds >= 600)
            expect(verdict.lifetimeMs).to.equal(Math.min(expirationSeconds * 1000, most));
        },
      ),
    );
  });

  it('denies who is no service account', () => {
    for (const username of [
      'kubernetes-admin',
      'system:node:a',
      'system:serviceaccount:demo',
      'system:serviceaccount:a:b:c',
      '',
    ])
      expect(decide({ username }), username).to.equal('NotServiceAccount');
  });

  it('denies names that are not exactly one DNS name', () => {
    for (const dnsNames of [[], [WEB, WEB], [WEB, 'evil.example']])
      expect(decide({}, { dnsNames })).to.equal('NamesNotAllowed');
    expect(decide({}, { otherNames: ['ip'] })).to.equal('NamesNotAllowed');
  });

  it('denies a wildcard, and the name in other letters or another domain', () => {
    for (const name of [
      '*.demo.serviceaccount.identity.linkerd.cluster.local',
      WEB.toUpperCase(),
      `${WEB}.`,
      WEB.replace('cluster.local', 'other'),
    ])
      expect(decide({}, { dnsNames: [name] }), name).to.equal('IdentityMismatch');
  });

  it('lets the subject be the identity and nothing else', () => {
    expect(decide({}, { subject: [{ type: 'CN', value: WEB }] })).to.equal('allowed');
    for (const subject of [
      [{ type: 'CN', value: 'other' }],
      [{ type: 'O', value: WEB }],
      [
        { type: 'CN', value: WEB },
        { type: 'O', value: 'system:masters' },
      ],
    ])
      expect(decide({}, { subject })).to.equal('SubjectNotAllowed');
  });

  it('denies other keys, and a request that its key has not signed', () => {
    expect(decide({}, { key: 'P-384' })).to.equal('KeyNotAllowed');
    expect(decide({}, { proven: false })).to.equal('KeyNotAllowed');
  });

  it('denies other usages, and a certificate for neither end', () => {
    expect(decide({ usages: [...usages, 'cert sign'] })).to.equal('UsagesNotAllowed');
    expect(decide({ usages: ['digital signature'] })).to.equal('UsagesNotAllowed');
    expect(decide({ usages: ['client auth'] })).to.equal('allowed');
  });

  it('denies what does not parse', () => {
    expect(decide({ request: undefined })).to.equal('RequestUnreadable');
  });

  it('denies a service account whose identity would be no DNS name', () => {
    const username = `system:serviceaccount:demo:${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}`;
    expect(decide({ username })).to.equal('NotServiceAccount');
  });

  it('shows what a stranger wrote without control characters, and not all of it', () => {
    const verdict = signerVerdict(facts({}, { dnsNames: [`\u001b[31m${'x'.repeat(1000)}`] }), RULES);
    const message = verdict.allowed ? '' : verdict.message;
    expect(message).to.not.match(/\p{Cc}/u);
    expect(message.length).to.be.below(400);
  });
});
