import { expect } from 'chai';
import fc from 'fast-check';
import { accountIdentity, meshSuffix } from '../../../../src/api/linkerd/identity-form.ts';
import { identityName } from '../../../../src/identity/names/identity-name.ts';
import { relayDomain } from '../../../../src/identity/names/relayed-name.ts';
import { meshNameOf } from '../../../../src/identity/names/trust-domain.ts';

const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}[a-z0-9]$/);

// Six files spelt the form, four of them to write it.
describe("the form of Linkerd's identities", () => {
  it('is the one that every reader takes apart, for accounts with dots, too', () =>
    fc.assert(
      fc.property(
        fc.array(label, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.')),
        label,
        label,
        fc.array(label, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.')),
        (serviceAccount, namespace, controlNamespace, trustDomain) => {
          const account = { serviceAccount, namespace, controlNamespace, trustDomain };
          const name = accountIdentity(account);
          expect(identityName(account)).to.equal(name);
          expect(meshNameOf(name)).to.deep.equal({ controlNamespace, trustDomain });
          expect(relayDomain(name)).to.deep.equal({ controlNamespace, trustDomain });
          expect(name.endsWith(meshSuffix(account))).to.equal(true);
        },
      ),
    ));

  it("is Linkerd's, word for word", () =>
    expect(
      accountIdentity({
        serviceAccount: 'web',
        namespace: 'demo',
        controlNamespace: 'linkerd',
        trustDomain: 'cluster.local',
      }),
    ).to.equal('web.demo.serviceaccount.identity.linkerd.cluster.local'));
});
