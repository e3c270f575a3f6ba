import { expect } from 'chai';
import { isMirrorLease, linkLeaseName, LOCAL_LEASE_NAME } from '../../../src/api/lease-names.ts';

// Linkerd's service mirror and ours would both write if their Leases had different names (linkerd2
// `multicluster/service-mirror`).
describe('names of Leases', () => {
  it('are those of Linkerd', () => {
    expect(linkLeaseName('west')).to.equal('service-mirror-write-west');
    expect(LOCAL_LEASE_NAME).to.equal('local-service-mirror-write');
  });

  it('are known again, and no others', () => {
    for (const name of [linkLeaseName('west'), LOCAL_LEASE_NAME])
      expect(isMirrorLease(name), name).to.equal(true);
    for (const name of ['', 'west', 'my-service-mirror-write-west', 'kube-scheduler'])
      expect(isMirrorLease(name), name).to.equal(false);
  });
});
