import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { codeOf } from '../../../src/api/errors/linkspan-error.ts';
import { keyOf, type KubeObject } from '../../../src/api/kubernetes/resource.ts';
import type { LinkObject } from '../../../src/api/link/link-schema.ts';
import { planUnlink, remainders, type UnlinkFacts, type UnlinkRequest } from '../../../src/linking/unlink.ts';

const NOW = Date.UTC(2026, 0, 1);
const request: UnlinkRequest = {
  clusterName: 'west',
  namespace: 'links',
  linkerdNamespace: 'linkerd',
  onlyController: false,
};

const ours: LinkObject = {
  metadata: { name: 'west', namespace: 'links' },
  status: {
    conditions: [
      {
        type: 'Synced',
        status: 'True',
        reason: 'AllMirrored',
        message: '',
        lastTransitionTime: '2026-01-01T00:00:00Z',
      },
    ],
  },
};
const theirs: LinkObject = { metadata: { name: 'west', namespace: 'links' } };
const lease = (ageMs: number, holder = 'pod-1') => ({
  metadata: {
    name: 'service-mirror-write-west',
    namespace: 'links',
    managedFields: [{ manager: 'node', time: new Date(NOW - ageMs) }],
  },
  // Of a clock that is an hour slow: it is not gone by.
  spec: { holderIdentity: holder, leaseDurationSeconds: 30, renewTime: new Date(NOW - 3_600_000) as never },
});
const mirror = (name: string, origin?: string, cluster = 'west'): V1Service => ({
  metadata: {
    name,
    namespace: 'shop',
    labels: { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': cluster },
    ...(origin === undefined ? {} : { annotations: { 'linkspan.dev/link': origin } }),
  },
});
const federated = (members: string): V1Service => ({
  metadata: {
    name: 'web-federated',
    namespace: 'shop',
    labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
    annotations: { 'multicluster.linkerd.io/remote-discovery': members },
  },
});
const secret = {
  type: 'mirror.linkerd.io/remote-kubeconfig',
  metadata: { name: 'cluster-credentials-west', namespace: 'links' },
};
const legacy: KubeObject[] = [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'linkerd-service-mirror-west', namespace: 'links' },
  },
];

const facts: UnlinkFacts = {
  link: ours,
  linkNames: ['west'],
  heir: undefined,
  secrets: [secret],
  legacy: [],
  lease: lease(5000),
  mirrors: [mirror('web-west', 'links/west')],
  federated: [],
};

describe('unlinking', () => {
  const plan = (change: Partial<UnlinkFacts>, wanted: Partial<UnlinkRequest> = {}) => {
    const { link, mirrors, rest, notes, controllerCleansUp } = planUnlink(
      { ...facts, ...change },
      { ...request, ...wanted },
      NOW,
    );
    const names = (objects: readonly KubeObject[]) =>
      objects.map((object) => `${object.kind ?? ''} ${keyOf(object)}`);
    return { link: names(link), mirrors: names(mirrors), rest: names(rest), notes, controllerCleansUp };
  };

  it('leaves mirrors to the controller that holds the Lease, and takes the Secrets last', () => {
    expect(plan({})).to.deep.equal({
      link: ['Link links/west'],
      controllerCleansUp: true,
      mirrors: [],
      rest: ['Secret links/cluster-credentials-west'],
      notes: [],
    });
  });

  const alone: readonly [string, Partial<UnlinkFacts>][] = [
    ['runs', { lease: undefined }],
    ['has renewed its Lease for a long time', { lease: lease(120_000) }],
    ['holds its Lease any more', { lease: lease(1000, '') }],
    ["writes conditions: Linkerd's leaves everything behind", { link: theirs }],
  ];
  for (const [story, change] of alone)
    it(`removes mirrors itself where no controller ${story}`, () => {
      const planned = plan(change);
      expect(planned.controllerCleansUp).to.equal(false);
      expect(planned.mirrors).to.deep.equal(['Service shop/web-west']);
    });

  it('says that federated Services keep their member where nobody can take it out', () => {
    const [note] = plan({ lease: undefined, federated: [federated('web@west')] }).notes;
    expect(note).to.match(/^1 federated Services keep their member/);
    expect(plan({ federated: [federated('web@west')] }).notes).to.deep.equal([]);
  });

  it('removes no mirror that another Link stands for', () => {
    const planned = plan({ heir: 'west-2', lease: undefined });
    expect(planned.mirrors).to.deep.equal([]);
    expect(planned.notes[0]).to.include('"west-2"');
  });

  it("takes Linkerd's former controller along, or only that", () => {
    expect(plan({ legacy }).rest).to.deep.equal([
      'Deployment links/linkerd-service-mirror-west',
      'Secret links/cluster-credentials-west',
    ]);
    expect(plan({ legacy }, { onlyController: true })).to.deep.include({
      link: [],
      mirrors: [],
      rest: ['Deployment links/linkerd-service-mirror-west'],
    });
  });

  it('goes on where it was interrupted', () => {
    expect(plan({ link: undefined, lease: undefined })).to.deep.include({
      link: [],
      mirrors: ['Service shop/web-west'],
      rest: ['Secret links/cluster-credentials-west'],
    });
  });

  it('names the Links that there are when it finds nothing', () => {
    const nothing = {
      link: undefined,
      secrets: [],
      lease: undefined,
      mirrors: [],
      linkNames: ['north', 'east'],
    };
    const tried = () => plan(nothing);
    expect(tried).to.throw(/no Link links\/west.*there are: east, north/);
    try {
      tried();
    } catch (error) {
      expect(codeOf(error)).to.equal('LINK_NOT_FOUND');
    }
  });
});

describe('what is left of a Link', () => {
  it('are its mirrors, those of Linkerd, and federated Services with a member of the cluster', () => {
    const made = [
      mirror('web-west', 'links/west'),
      mirror('api-west'),
      mirror('old-west', 'other/west'),
      mirror('web-north', 'links/north', 'north'),
      federated('web@north,web@west'),
      federated('web@north, web@west '),
      federated('web@southwest'),
    ];
    const { mirrors, federated: members } = remainders(made, 'west', 'links/west');
    expect(mirrors.map(({ metadata }) => metadata?.name)).to.deep.equal(['web-west', 'api-west']);
    expect(members).to.have.length(2);
  });
});
