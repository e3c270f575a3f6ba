import { expect } from 'chai';
import { takeFlags } from '../../../testbed/binaries/flags.ts';

describe('flags of the repo’s commands', () => {
  const taken = (...args: string[]) => {
    const env: NodeJS.ProcessEnv = {};
    return [[...takeFlags(args, ['--keep'], env)], env['LINKSPAN_TESTBED_FROM']];
  };

  it('are taken, in both forms', () => {
    expect(taken()).to.deep.equal([[], undefined]);
    expect(taken('--keep', '--from', 'build')).to.deep.equal([['--keep'], 'build']);
    expect(taken('--from=download')).to.deep.equal([[], 'download']);
  });

  // `npm run demo -- --keeep` and `test:fresh -- --form=build` began minutes of work as if nothing had been
  // said.
  it('are refused where they are unknown, before anything begins', () => {
    for (const arg of ['--keeep', '--form=build', 'west', '--from=', '--from=nowhere'])
      expect(() => taken(arg), arg).to.throw(/there is no flag|--from/);
  });
});
