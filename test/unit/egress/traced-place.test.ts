import { expect } from 'chai';
import { tracedPlace } from '../../../src/egress/traced-place.ts';

const link = (name: string, targetClusterName: string, creationTimestamp: string) => ({
  metadata: { name, creationTimestamp: new Date(creationTimestamp) },
  spec: { targetClusterName },
});

describe('Where traces say that a target lies', () => {
  const links = [
    link('rival', 'west', '2026-02-01T00:00:00Z'),
    link('to-west', 'west', '2026-01-01T00:00:00Z'),
    link('east', 'east', '2025-01-01T00:00:00Z'),
  ];
  const place = { cluster: 'west', name: 'web.shop.svc.cluster.local' };

  it('is the cluster, and the Link by which its Services are mirrored', () => {
    expect(tracedPlace(place, links)).to.deep.equal({ cluster: 'west', link: 'to-west' });
  });

  it('is the cluster alone where its Link is gone, and nothing where there is none', () => {
    expect(tracedPlace(place, links.slice(2))).to.deep.equal({ cluster: 'west', link: undefined });
    expect(tracedPlace(undefined, links)).to.equal(undefined);
  });
});
