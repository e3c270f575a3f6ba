import { expect } from 'chai';
import { isReferenceTo, POLICY_GROUP } from '../../../../src/api/linkerd/linkerd-kinds.ts';

describe('isReferenceTo', () => {
  // It said that it compares without case, and lowered only one of the two groups.
  it('compares groups and kinds without case on both sides', () => {
    const ref = { group: 'Policy.Linkerd.IO', kind: 'SERVER' };
    expect(isReferenceTo(ref, POLICY_GROUP, 'Server')).to.equal(true);
    expect(isReferenceTo(ref, 'POLICY.linkerd.io', 'server')).to.equal(true);
    expect(isReferenceTo(ref, 'other.io', 'Server')).to.equal(false);
  });

  it('takes core, an empty and an absent group for the same, on both sides', () => {
    for (const group of ['core', 'Core', '', undefined])
      for (const asked of ['', 'core', 'Core'])
        expect(
          isReferenceTo({ ...(group === undefined ? {} : { group }), kind: 'Namespace' }, asked, 'Namespace'),
          `${group} is ${asked}`,
        ).to.equal(true);
    expect(isReferenceTo({ group: POLICY_GROUP, kind: 'Namespace' }, '', 'Namespace')).to.equal(false);
  });
});
