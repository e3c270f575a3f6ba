import { expect } from 'chai';
import fc from 'fast-check';
import {
  clusterOfEntry,
  entriesAnnotation,
  entriesPatch,
  federatedEntries,
  federatedName,
  hasMember,
  LOCAL_MEMBER,
  localMemberAnnotation,
  localMemberOf,
  memberClusters,
  memberEgressPortsOf,
  memberEntry,
  memberLinkOf,
  memberLinks,
  memberName,
  memberOfRecord,
  memberRecord,
  serviceOfEntry,
  withoutMemberRecord,
} from '../../../../src/api/mirror/federated-members.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}[a-z0-9]$/);
const port = fc.integer({ min: 1, max: 65_535 });
const ports = fc.dictionary(port.map(String), port);
const object = (annotations: Record<string, string>) => ({ metadata: { annotations } });

describe('members of federated Services', () => {
  it('read as they were written', () =>
    fc.assert(
      fc.property(name, fc.uniqueArray(name, { minLength: 1, maxLength: 5 }), (service, clusters) => {
        const entries = clusters.map((cluster) => memberEntry(service, cluster));
        const federated = object({ ...entriesAnnotation(entries), ...localMemberAnnotation(service) });
        expect(federatedEntries(federated)).to.deep.equal(entries);
        expect(entries.map(clusterOfEntry)).to.deep.equal(clusters);
        expect(entries.map(serviceOfEntry)).to.deep.equal(clusters.map(() => service));
        expect(localMemberOf(federated)).to.equal(service);
        expect(memberClusters(federated)).to.deep.equal([...clusters, LOCAL_MEMBER]);
        for (const member of [...clusters, LOCAL_MEMBER])
          expect(hasMember(federated, member, service)).to.equal(true);
        expect(hasMember(federated, `${clusters[0]}x-other`, service)).to.equal(false);
        expect(memberName(federatedName(service))).to.equal(service);
      }),
    ));

  it('keep the record of each: its Link, its egress ports', () =>
    fc.assert(
      fc.property(fc.oneof(name, fc.constant(LOCAL_MEMBER)), name, ports, (member, link, egressPorts) => {
        const record = memberRecord(member, { link: `multicluster/${link}`, egressPorts });
        const federated = object(record);
        expect(memberLinkOf(federated, member)).to.equal(`multicluster/${link}`);
        expect(memberEgressPortsOf(federated, member)).to.deep.equal(egressPorts);
        for (const key of Object.keys(record)) expect(memberOfRecord(key)).to.equal(member);
        expect(Object.keys(withoutMemberRecord(federated, member)).sort()).to.deep.equal(
          Object.keys(record).sort(),
        );
        expect(memberLinks(federated)).to.deep.equal(
          member === LOCAL_MEMBER ? [] : [{ cluster: member, link: `multicluster/${link}` }],
        );
      }),
    ));

  it('leave nothing behind with the last of them', () => {
    expect(Object.values(entriesPatch([]))).to.deep.equal([null]);
    expect(entriesPatch(['db@west'])).to.deep.equal(entriesAnnotation(['db@west']));
    expect(memberOfRecord('linkspan.dev/link')).to.equal(undefined);
  });
});
