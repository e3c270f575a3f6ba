import { expect } from 'chai';
import { rendered, type Right, rightsOf } from '../../../../scripts/generated/rights.ts';

/**
 * Who may do what is what a reader of the docs decides by whether to install this at all. It stood there in
 * words, and was wrong.
 */
describe('rights of the accounts', () => {
  const of = (render: string, account: string) =>
    rightsOf(rendered(render)).filter((right) => right.account === account);
  const has = (rights: readonly Right[], resource: string) =>
    rights.some((right) => right.resource === resource);

  it('on Secrets, on requests for certificates and on Roles are the signer’s alone', () => {
    for (const render of ['default', 'ha', 'linkerd', 'cert-manager', 'everything', 'least']) {
      const others = rightsOf(rendered(render)).filter(({ account }) => account !== 'linkspan-signer');
      for (const resource of [
        'secrets',
        'roles',
        'signers',
        'certificatesigningrequests/approval',
        'certificatesigningrequests/status',
      ])
        expect(has(others, resource), `${render} ${resource}`).to.equal(false);
    }
  });

  it('of the signer do not reach beyond its namespace but for certificates', () => {
    const everywhere = of('everything', 'linkspan-signer').filter(({ namespace }) => namespace === undefined);
    expect(new Set(everywhere.map(({ group }) => group))).to.deep.equal(new Set(['certificates.k8s.io']));
    expect(has(of('linkerd', 'linkspan-signer'), 'signers')).to.equal(false);
  });

  it('reach beyond some namespaces for nobody, when they are named', () => {
    const everywhere = rightsOf(rendered('scoped')).filter(({ namespace }) => namespace === undefined);
    expect(everywhere).to.deep.equal([]);
  });

  it('of the gateway are those that its values need', () => {
    const gateway = of('default', 'linkerd-gateway');
    for (const resource of ['pods', 'servers', 'nodes', 'certificatesigningrequests', 'httproutes'])
      expect(has(gateway, resource), resource).to.equal(true);
    const least = of('least', 'linkerd-gateway');
    const unneeded = [
      'pods',
      'servers',
      'externalworkloads',
      'nodes',
      'certificatesigningrequests',
      'httproutes',
    ];
    for (const resource of unneeded) expect(has(least, resource), resource).to.equal(false);
    expect(has(gateway, 'tokenreviews')).to.equal(true);
    expect(least.every(({ verb }) => verb === 'list' || verb === 'watch')).to.equal(true);
  });
});
