import { expect } from 'chai';
import { isDeepStrictEqual } from 'node:util';
import {
  MIRROR_ANNOTATION_GROUPS,
  MIRROR_ANNOTATIONS,
  MIRROR_LABELS,
} from '../../src/api/mirror/mirror-keys.ts';
import {
  endpoints,
  endpointSlices,
  type KubeObject,
  type Resource,
  services,
} from '../../src/api/kubernetes/resource.ts';
import type { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { clientOf, ensureNamespace, find, findService } from '../support/cluster-objects.ts';
import { closedIn } from '../support/closed-in.ts';
import { eventually } from '../support/eventually.ts';
import { exportService, ownSelectors } from '../support/exports.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const wait = { everyMs: 20 };

type Where = 'labels' | 'annotations';
interface Edit {
  readonly where: Where;
  readonly key: string;
  /** Null: it is taken away. */
  readonly value: string | null;
}

/** Keys by which others find our objects, beside those that are our own. */
const SLICE_LABELS = ['kubernetes.io/service-name', 'endpointslice.kubernetes.io/managed-by'];

/**
 * Each label and annotation that only controllers write, once edited, once taken away where it is there and
 * put there where it is not.
 */
function editsOf({ metadata }: KubeObject, more: readonly string[]): Edit[] {
  const groups = MIRROR_ANNOTATION_GROUPS.flatMap((group) => [`${group}/west`, `${group}/elsewhere`]);
  const keys: [Where, string][] = [
    ...[...MIRROR_LABELS, ...more].map((key): [Where, string] => ['labels', key]),
    ...[...MIRROR_ANNOTATIONS, ...groups].map((key): [Where, string] => ['annotations', key]),
  ];
  return keys.flatMap(([where, key]): Edit[] => {
    const edited = { where, key, value: 'edited' };
    return metadata?.[where]?.[key] === undefined ? [edited] : [edited, { where, key, value: null }];
  });
}

// An edit of `remote-svc-fq-name` by hand left a mirror wrong for ever: it was taken for somebody else's. So
// did many others, of slices and Endpoints too.
describe('what mirroring made, and somebody edits', function () {
  let east: Cluster;
  let west: Cluster;
  let ns: string;
  const closed = closedIn(after);

  before(async () => {
    ({ east, west } = await sharedClusters());
    await installCrd(east);
    ns = await createNamespace(west, 'app');
    await ensureNamespace(east, ns);
    for (const [cluster, settings] of [
      ['west', { dataPath: 'relay', headless: true }],
      ['north', { dataPath: 'gateway', writeEndpoints: true }],
    ] as const) {
      const namespace = await createNamespace(east, 'links');
      await apply(east, ...linkObjects(west, namespace, cluster, ownSelectors(`${ns}-${cluster}`)));
      closed(startController(east, { namespace, ...settings }), (one: MirrorController) => one.stop());
    }
    await exportService(west, ns, 'web', { test: `${ns}-west`, federated: true });
    await exportService(west, ns, 'flat', { test: `${ns}-west`, as: 'flat' });
    await exportService(west, ns, 'shop', { test: `${ns}-north`, federated: true });
    await exportService(west, ns, 'db', {
      test: `${ns}-west`,
      spec: { clusterIP: 'None', ports: [{ name: 'db', port: 5432 }] },
      ports: [{ name: 'db', port: 5432, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.200.0.18'], hostname: 'db-0', conditions: { ready: true } }],
    });
    for (const name of [
      'web-west',
      'web-federated',
      'shop-north',
      'shop-federated',
      'flat-west',
      'db-west',
      'db-0-west',
    ])
      await eventually(`${name} is there`, () => findService(east, ns, name), wait);
  });

  const kinds: [what: string, Resource<KubeObject>, name: string, labels: readonly string[]][] = [
    ['a mirror', services, 'web-west', []],
    ['a mirror through a mesh', services, 'shop-north', []],
    ['a flat mirror', services, 'flat-west', []],
    ['a headless mirror', services, 'db-west', []],
    ['an endpoint mirror', services, 'db-0-west', []],
    ['a federated Service', services, 'web-federated', []],
    ['a federated Service that Linkerd resolves', services, 'shop-federated', []],
    ['the slice of a mirror', endpointSlices, 'web-west-linkspan-ipv4', SLICE_LABELS],
    ['the slice of an endpoint mirror', endpointSlices, 'db-0-west-linkspan-ipv4', SLICE_LABELS],
    [
      'the slice of a member of a federated Service',
      endpointSlices,
      'web-federated-west-linkspan-ipv4',
      SLICE_LABELS,
    ],
    ['the Endpoints of a mirror', endpoints, 'shop-north', ['endpointslice.kubernetes.io/skip-mirror']],
  ];
  for (const [what, resource, name, more] of kinds) {
    it(`is put right, whichever label or annotation it is: ${what}`, async () => {
      const ref = { namespace: ns, name };
      const before = await eventually('it is there', () => find(east, resource, ref), wait);
      const marks = ({ metadata }: KubeObject) => [metadata?.labels, metadata?.annotations];
      for (const { where, key, value } of editsOf(before, more)) {
        const patch = { metadata: { [where]: { [key]: value } } };
        await clientOf(east).patch(resource, ref, patch, { type: 'merge', fieldManager: 'kubectl-edit' });
        const now = await eventually(
          `${where} ${key}=${value ?? 'none'} is put right`,
          async () => {
            const found = await find(east, resource, ref);
            return found !== undefined && isDeepStrictEqual(marks(found), marks(before)) ? found : undefined;
          },
          wait,
        );
        // A Service that was made anew would have another address.
        if (resource.kind === 'Service')
          expect(now.metadata?.uid, `${key}=${value ?? 'none'}`).to.equal(before.metadata?.uid);
      }
    });
  }

  it("is nobody's own Service, whatever marks somebody has put on it by hand", async () => {
    const marks = {
      labels: { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' },
      annotations: {
        'mirror.linkerd.io/remote-svc-fq-name': `mine.${ns}.svc.cluster.local`,
        'linkspan.dev/link': 'links/west',
        'multicluster.linkerd.io/remote-discovery': 'mine@west',
      },
    };
    const own = ['mine-west', 'mine-federated'];
    const client = clientOf(east);
    for (const name of own) {
      await east.kubectl('-n', ns, 'create', 'service', 'clusterip', name, '--tcp=1234');
      const labels = name === 'mine-west' ? marks.labels : { 'mirror.linkerd.io/mirrored-service': 'true' };
      const patch = { metadata: { ...marks, labels } };
      await client.patch(services, { namespace: ns, name }, patch, {
        type: 'merge',
        fieldManager: 'kubectl-label',
      });
    }
    const before = await Promise.all(own.map((name) => findService(east, ns, name)));
    // First nothing is exported under these names, which removes mirrors; then something is, which makes
    // them.
    await exportService(west, ns, 'mark', { test: `${ns}-west`, federated: true });
    await eventually('what came later is mirrored', () => findService(east, ns, 'mark-west'), wait);
    await exportService(west, ns, 'mine', { test: `${ns}-west`, federated: true });
    await exportService(west, ns, 'mark2', { test: `${ns}-west`, federated: true });
    await eventually('what came later is mirrored', () => findService(east, ns, 'mark2-west'), wait);
    const after = await Promise.all(own.map((name) => findService(east, ns, name)));
    expect(after).to.deep.equal(before);
  });
});
