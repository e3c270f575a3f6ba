import { expect } from 'chai';
import fc from 'fast-check';
import {
  clusterOf,
  headlessMirrorNameOf,
  isFlatMirror,
  isMirrored,
  mirrorLabels,
} from '../../../../src/api/mirror/mirror-labels.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}[a-z0-9]$/);
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

describe('labels of mirrors', () => {
  // Nine files read these labels by hand, and three wrote them.
  it('read as they were written', () =>
    fc.assert(
      fc.property(
        optional(name),
        optional(name),
        optional(fc.record({ cluster: name, service: name })),
        (cluster, headless, flat) => {
          const object = { metadata: { labels: mirrorLabels({ cluster, headless, flat }) } };
          expect(isMirrored(object)).to.equal(true);
          expect(clusterOf(object)).to.equal(cluster);
          expect(headlessMirrorNameOf(object)).to.equal(headless);
          expect(isFlatMirror(object)).to.equal(flat !== undefined);
        },
      ),
    ));

  it("have Linkerd's names and values", () =>
    expect(
      mirrorLabels({ cluster: 'west', headless: 'db-west', flat: { cluster: 'west', service: 'db' } }),
    ).to.deep.equal({
      'mirror.linkerd.io/mirrored-service': 'true',
      'mirror.linkerd.io/cluster-name': 'west',
      'mirror.linkerd.io/headless-mirror-svc-name': 'db-west',
      'multicluster.linkerd.io/remote-discovery': 'west',
      'multicluster.linkerd.io/remote-service': 'db',
    }));

  it('say nothing where they are not, or of another value', () => {
    expect(isMirrored(undefined)).to.equal(false);
    expect(isMirrored({ metadata: { labels: { 'mirror.linkerd.io/mirrored-service': 'yes' } } })).to.equal(
      false,
    );
    expect(clusterOf({})).to.equal(undefined);
  });
});
