import type { V1Secret } from '@kubernetes/client-node';
import { expect } from 'chai';
import { describeError } from '../../../src/api/errors/linkspan-error.ts';
import type { LinkObject } from '../../../src/api/link/link-schema.ts';
import { linkRefusal, type SourceFacts, type WantedLink } from '../../../src/linking/source-verdict.ts';

const link = (
  change: { name?: string; cluster?: string; secret?: string; by?: string | null; uid?: string } = {},
): LinkObject => ({
  metadata: {
    name: change.name ?? 'west',
    namespace: 'links',
    ...(change.by === null
      ? {}
      : { annotations: { 'linkerd.io/created-by': change.by ?? 'linkerd/cli edge-26.8.3' } }),
  },
  spec: {
    targetClusterName: change.cluster ?? 'west',
    clusterCredentialsSecret: change.secret ?? 'cluster-credentials-west',
  },
  ...(change.uid === undefined ? {} : { status: { targetClusterUID: change.uid } }),
});
const secret = (change: V1Secret = {}): V1Secret => ({
  type: 'mirror.linkerd.io/remote-kubeconfig',
  metadata: { name: 'cluster-credentials-west', namespace: 'links' },
  ...change,
});
const labelled = (cluster: string): V1Secret =>
  secret({
    metadata: {
      name: 'c',
      namespace: 'linkerd',
      labels: { 'multicluster.linkerd.io/cluster-name': cluster },
    },
  });

const free: SourceFacts = {
  uid: 'uid-east',
  namespaceExists: true,
  linkerdNamespaceExists: false,
  links: [],
  secrets: [],
};
const west: WantedLink = {
  clusterName: 'west',
  namespace: 'links',
  targetUid: 'uid-west',
  credentialsSecret: 'cluster-credentials-west',
  rebuilt: false,
  force: false,
};

describe('a source cluster', () => {
  const refusal = (source: Partial<SourceFacts>, wanted: Partial<WantedLink> = {}) => {
    const found = linkRefusal({ ...free, ...source }, { ...west, ...wanted });
    return found === undefined ? 'none' : describeError(found);
  };

  const taken: readonly [string, Partial<SourceFacts>, Partial<WantedLink>][] = [
    ['its first Link', {}, {}],
    ["Linkerd's Link for the same cluster", { links: [link({ uid: 'uid-west' })], secrets: [secret()] }, {}],
    [
      'our own again',
      { links: [link({ by: 'linkspan/cli 1.0.0' })], secrets: [secret(), labelled('west')] },
      {},
    ],
    ['a Link beside others', { links: [link({ name: 'north', cluster: 'north' })] }, {}],
    ['a rebuilt cluster, when a person says so', { links: [link({ uid: 'uid-old' })] }, { rebuilt: true }],
    ['a Link written by hand, with --force', { links: [link({ by: null })] }, { force: true }],
    [
      'clusters that do not say who they are',
      { uid: undefined, links: [link({ uid: 'x' })] },
      { targetUid: undefined },
    ],
  ];
  for (const [what, source, wanted] of taken)
    it(`takes ${what}`, () => expect(refusal(source, wanted)).to.equal('none'));

  const refused: readonly [string, Partial<SourceFacts>, Partial<WantedLink>, RegExp][] = [
    ['itself', { uid: 'uid-west' }, {}, /^\[LINK_TO_ITSELF\] "west" is the source/],
    ['anything without the CRD', { links: undefined }, {}, /^\[LINK_CRD_MISSING\].*linkspan install --crds/],
    [
      'anything without the namespace',
      { namespaceExists: false },
      {},
      /^\[NAMESPACE_MISSING\].*namespace links/,
    ],
    [
      'another cluster of the same name',
      { links: [link({ uid: 'uid-old' })] },
      {},
      /^\[CLUSTER_NAME_TAKEN\].*uid-old.*--rebuilt/,
    ],
    [
      'another cluster of the same name, with --force too',
      { links: [link({ uid: 'uid-old' })] },
      { force: true },
      /CLUSTER_NAME_TAKEN/,
    ],
    [
      'a second Link for one cluster',
      { links: [link({ name: 'old-west' })] },
      {},
      /^\[LINK_DUPLICATE\].*links\/old-west/,
    ],
    [
      'a Link that somebody wrote by hand',
      { links: [link({ by: null })] },
      {},
      /^\[FOREIGN_OBJECT\].*neither Linkspan nor Linkerd.*--force/,
    ],
    [
      'a Link for another cluster',
      { links: [link({ cluster: 'other' })] },
      {},
      /^\[FOREIGN_OBJECT\].*"other"/,
    ],
    ['a Link with another Secret', { links: [link({ secret: 'mine' })] }, {}, /^\[FOREIGN_OBJECT\].*"mine"/],
    [
      'a Secret of another type',
      { secrets: [secret({ type: 'Opaque' })] },
      {},
      /^\[FOREIGN_OBJECT\].*links\/cluster-credentials-west is of type "Opaque"/,
    ],
    [
      'a Secret of another type, with --force too',
      { secrets: [secret({ type: 'Opaque' })] },
      { force: true },
      /FOREIGN_OBJECT/,
    ],
    [
      "a destination controller's Secret for another cluster",
      { secrets: [labelled('other')] },
      {},
      /^\[FOREIGN_OBJECT\].*"other"/,
    ],
  ];
  for (const [what, source, wanted, message] of refused)
    it(`refuses ${what}`, () => expect(refusal(source, wanted)).to.match(message));
});
