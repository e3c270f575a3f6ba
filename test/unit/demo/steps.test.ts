import { expect } from 'chai';
import { enterCommand } from '../../../demo/steps.ts';

/**
 * `npm run demo -- --keep` prints commands that people paste; inside its namespace everybody's user id is 0.
 */
describe('the command that enters the kept demo', () => {
  it('enters the user namespace too where a user without rights started it', () => {
    const command = enterCommand(7, '         0       1000          1\n');
    expect(command).to.equal('nsenter -t 7 -n -U --preserve-credentials');
  });

  it('enters only the network namespace for root, in a rootless container too', () => {
    for (const map of ['0 0 4294967295', '0 100000 65536'])
      expect(enterCommand(7, map)).to.equal('nsenter -t 7 -n');
  });
});
