import { expect } from 'chai';
import { readVersion } from '../../../../src/base/version.ts';
import { keptLinkspan } from '../../../support/linkspan.ts';
import { expectGolden } from '../../../support/golden.ts';

/**
 * Scripts go by the exit code, people by the one line: a typing error must name itself and what was probably
 * meant.
 */
describe('wrong usage', () => {
  // The first loads all verbs.

  const cases: readonly (readonly [string[], string])[] = [
    [['miror'], "unknown command 'miror' (did you mean mirrors?). `linkspan --help` says what there is."],
    [
      ['mirrors', '--contxt', 'x'],
      "unknown option '--contxt' (did you mean --context?). `linkspan mirrors --help` says what there is.",
    ],
    [
      ['identity', 'ancor'],
      "unknown command 'ancor' (did you mean anchor?). `linkspan identity --help` says what there is.",
    ],
    [
      ['identity', 'anchor', '--ot', 'x'],
      "unknown option '--ot' (did you mean --out?). `linkspan identity anchor --help` says what there is.",
    ],
    [
      ['link-gen', '--cluster-nam=west'],
      "unknown option '--cluster-nam' (did you mean --cluster-name?). `linkspan link-gen --help` says what there is.",
    ],
    [['links', '--as'], "option '--as <user>' argument missing. `linkspan links --help` says what there is."],
  ];
  for (const [args, text] of cases) {
    it(`${args.join(' ')}: one line, the nearest word, exit code 2`, async () => {
      const { code, stdout, stderr } = await keptLinkspan(...args);
      expect(stderr).to.equal(`linkspan: [USAGE] ${text}\n`);
      expect(stdout).to.equal('');
      expect(code).to.equal(2);
    });
  }

  it('a wrong value is wrong usage, a file that is not there is not', async () => {
    const value = await keptLinkspan('mirrors', '-o', 'xml');
    expect(value.code).to.equal(2);
    expect(value.stderr).to.match(/^linkspan: \[CONFIG_INVALID\] mirrors: --output: must be table/);
    const file = await keptLinkspan('mirrors', '--kubeconfig', '/nowhere');
    expect(file.code).to.equal(1);
    expect(file.stderr).to.match(/^linkspan: \[KUBECONFIG_UNREADABLE\]/);
  });

  it('what was asked for is not an error: help and versions', async () => {
    const help = await keptLinkspan('--help');
    expect(help.code).to.equal(0);
    expect(help.stderr).to.equal('');
    expectGolden('cli/help.txt', help.stdout);
    expect(await keptLinkspan('version', '--client', '--short')).to.deep.equal({
      code: 0,
      stdout: `${readVersion()}\n`,
      stderr: '',
    });
  });
});
