import { expect } from 'chai';
import { memberRecord } from '../../../../src/api/mirror/federated-members.ts';
import {
  endpointAnnotations,
  originAnnotations,
  pathAnnotations,
} from '../../../../src/api/mirror/mirror-annotations.ts';
import { isMirrorKey } from '../../../../src/api/mirror/mirror-keys.ts';
import { mirrorLabels } from '../../../../src/api/mirror/mirror-labels.ts';
import { bareRules, copiedMetadata } from '../../../../src/api/mirror/mirror-metadata.ts';

describe('keys that only controllers write', () => {
  // What a writer puts on a mirror and the list lacks would stay for ever where it is no longer wanted, and
  // the admission policy, which is made from the list, would let anybody write it.
  it('are all that any writer of mirrors puts on one', () => {
    const gateway = { addresses: ['10.0.0.1'], port: 4143, identity: 'gateway' };
    const annotations = {
      ...originAnnotations({}, { fqName: 'web.demo.svc.cluster.local', link: 'mc/west' }),
      ...pathAnnotations({ dataPath: 'relay', egressPorts: { 80: 10_000 }, gateway }),
      ...endpointAnnotations({ fqName: 'a', gatewayIdentity: 'b', notReady: 'c' }),
      ...memberRecord('west', { link: 'mc/west', egressPorts: { 80: 10_000 } }),
      ...copiedMetadata({}, bareRules()).annotations,
    };
    for (const key of Object.keys(annotations)) expect(isMirrorKey(key, 'annotations'), key).to.equal(true);
    const labels = mirrorLabels({
      cluster: 'west',
      headless: 'db',
      flat: { cluster: 'west', service: 'db' },
    });
    for (const key of Object.keys(labels)) expect(isMirrorKey(key, 'labels'), key).to.equal(true);
  });

  it("are none of people's, and labels are no annotations", () => {
    for (const key of [
      'mirror.linkerd.io/exported',
      'linkspan.dev/allowed-namespaces',
      'app',
      'members.linkspan.devil/x',
    ])
      for (const where of ['labels', 'annotations'] as const)
        expect(isMirrorKey(key, where), key).to.equal(false);
    expect(isMirrorKey('linkspan.dev/link', 'labels')).to.equal(false);
    expect(isMirrorKey('mirror.linkerd.io/cluster-name', 'annotations')).to.equal(false);
  });
});
