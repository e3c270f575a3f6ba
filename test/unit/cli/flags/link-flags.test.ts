import { expect } from 'chai';
import { clusterNameFlag } from '../../../../src/cli/flags/link-flags.ts';

describe('the name of a cluster to link', () => {
  // A member of the source itself is called `local` in tiers, drains and metrics: of the two one was lost.
  it('is not that of the cluster itself, and fits into names', () => {
    for (const name of ['west', 'local-2', 'a', 'constructor'])
      expect(clusterNameFlag.safeParse(name).success, name).to.equal(true);
    for (const name of ['local', 'West', 'we.st', 'w\u00e9st', '', '__proto__', 'x'.repeat(64)])
      expect(clusterNameFlag.safeParse(name).success, name).to.equal(false);
  });
});
