import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import fc from 'fast-check';
import { EMPTIED_GRACE_MS } from '../../../../src/controllers/import-reconciler/import-reconciler.ts';
import { MirrorWorld } from '../../../support/mirror-world.ts';
import { useSurfaced } from '../../../support/surfaced.ts';
import { usableAddresses } from '../../../support/usable-addresses.ts';

/** As many as a run in CI bears; `LINKSPAN_FUZZ=20` runs twenty times as many. */
const RUNS = 60 * Number(process.env['LINKSPAN_FUZZ'] ?? '1');

type Json = fc.JsonValue;
type Tree = { [key: string]: Json };

const LABELS = { exported: 'true', federated: 'member' };
const service = (name: string): Tree => ({
  metadata: {
    name,
    namespace: 'demo',
    uid: name,
    resourceVersion: '7',
    labels: LABELS,
    annotations: { note: 'x', 'config.linkerd.io/opaque-ports': '25', 'mirror.linkerd.io/gateway-ns': '' },
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  spec: {
    selector: { app: name },
    clusterIP: '10.0.0.7',
    type: 'ClusterIP',
    ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP', appProtocol: 'http' }],
  },
});
const slice = (name: string): Tree => ({
  metadata: {
    name: `${name}-1`,
    namespace: 'demo',
    uid: `${name}-1`,
    labels: { ...LABELS, 'kubernetes.io/service-name': name },
  },
  addressType: 'IPv4',
  endpoints: [
    {
      addresses: ['10.9.0.1'],
      hostname: 'a-0',
      zone: 'z',
      conditions: { ready: true },
      hints: { forZones: [{ name: 'z' }] },
    },
  ],
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
});

type Path = readonly string[];

/** By what an object is found at all. */
const KEPT = /^(metadata|metadata (name|namespace|labels)( .*)?)$/;

/** Where something else can stand. */
function pathsOf(value: Json, path: Path = []): Path[] {
  const isTree = typeof value === 'object' && value !== null;
  const below = isTree
    ? Object.entries(value).flatMap(([key, inner]) => pathsOf(inner as Json, [...path, key]))
    : [];
  return path.length === 0 || KEPT.test(path.join(' ')) ? below : [path, ...below];
}

function withOther(tree: Tree, path: Path, other: Json): Tree {
  const copy = structuredClone(tree);
  let at = copy as Record<string, unknown>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
  at[path.at(-1) ?? ''] = other;
  return copy;
}

const odd = (tree: Tree) =>
  fc
    .tuple(fc.constantFrom(...pathsOf(tree)), fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>)
    .map(([path, other]) => withOther(tree, path, other));

/**
 * An API server checks what it is given; one that means harm gives what it likes. Whatever stands in one
 * object, those beside it are mirrored, and go on being so.
 */
describe('objects of a target that are of no shape that there is', () => {
  useSurfaced();

  it('keep no other from being mirrored, nor from following its pods', () =>
    fc.assert(
      fc.asyncProperty(odd(service('a')), odd(slice('a')), fc.boolean(), async (one, other, first) => {
        const world = new MirrorWorld(() => 0);
        const mirror = () => world.source.all<V1Service>('services').get('demo/z-west');
        const ours = () =>
          world.source.all<V1EndpointSlice>('endpointslices').get('demo/z-west-linkspan-ipv4');
        const put = (tree: Tree, plural: 'services' | 'endpointslices') =>
          world.target.put(plural, tree as never);
        try {
          if (first) {
            put(one, 'services');
            put(other, 'endpointslices');
          }
          put(service('z'), 'services');
          put(slice('z'), 'endpointslices');
          await world.clock.advance(1000);
          put(one, 'services');
          put(other, 'endpointslices');
          await world.clock.advance(EMPTIED_GRACE_MS + 1000);
          expect(mirror()?.spec?.ports?.[0]?.port).to.equal(80);
          expect(usableAddresses([ours() ?? {}] as V1EndpointSlice[])).to.have.length(1);
          put(
            { ...service('z'), spec: { selector: { app: 'z' }, ports: [{ name: 'http', port: 81 }] } },
            'services',
          );
          put({ ...slice('z'), endpoints: [] }, 'endpointslices');
          await world.clock.advance(EMPTIED_GRACE_MS + 10_000);
          expect(mirror()?.spec?.ports?.[0]?.port).to.equal(81);
          expect(usableAddresses([ours() ?? {}] as V1EndpointSlice[])).to.deep.equal([]);
        } finally {
          await world.close();
        }
      }),
      { numRuns: RUNS },
    ));
});
