import { expect } from 'chai';
import { keptLinkspan, linkspan } from '../../support/linkspan.ts';

// Half of what the integration tests cost was to start Node and load the CLI, some hundred times.
describe('linkspan in a process that is kept', () => {
  const cases: readonly (readonly string[])[] = [
    ['version', '--client', '--short'],
    ['mirrors', '--help'],
    ['mirrors', '--kubeconfig', '/nowhere'],
    ['links', '-o', 'xml'],
    ['identity', 'ancor'],
  ];
  for (const args of cases) {
    it(`${args.join(' ')}: the same code and texts as a process of its own, each time`, async () => {
      const own = await linkspan(...args);
      expect(await keptLinkspan(...args)).to.deep.equal(own);
      expect(await keptLinkspan(...args)).to.deep.equal(own);
    });
  }

  it('has the environment of who calls', async () => {
    process.env['LINKSPAN_HELM'] = '/no/helm';
    const named = await keptLinkspan('install', '--ignore-cluster');
    delete process.env['LINKSPAN_HELM'];
    expect(named.stderr).to.match(/^linkspan: \[HELM_MISSING\] \/no\/helm: /);
    const usual = await keptLinkspan('install', '--ignore-cluster', '--helm', '/other/helm');
    expect(usual.stderr).to.match(/^linkspan: \[HELM_MISSING\] \/other\/helm: /);
  });

  it('two at the same time do not hear each other', async () => {
    const [help, wrong] = await Promise.all([keptLinkspan('links', '--help'), keptLinkspan('lniks')]);
    expect([help.code, help.stderr]).to.deep.equal([0, '']);
    expect([wrong.code, wrong.stdout]).to.deep.equal([2, '']);
  });
});
