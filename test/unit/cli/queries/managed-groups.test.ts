import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { writeBackendFacts } from '../../../../src/api/failover/backend-facts.ts';
import { type FailoverFacts, writeFacts } from '../../../../src/api/failover/failover-facts.ts';
import { codeOf } from '../../../../src/api/errors/linkspan-error.ts';
import { factsAnnotation } from '../../../../src/api/mirror/slice-facts.ts';
import { readAllFailover } from '../../../../src/cli/queries/failover-rows.ts';
import { planDrain, planUndrain } from '../../../../src/drains/drain-plan.ts';
import { statusError } from '../../../../src/kube/client/api-error.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { withRoutingKinds } from '../../../support/apex-world.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';

const WISH = { to: 0, rampMs: 0, lastsMs: 60_000, drill: false, by: 'me', reason: undefined };
const NOW = 1_000_000;
const MIRROR = { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' };
const facts = (ready: number): FailoverFacts => ({
  ready,
  known: ready,
  expected: Math.max(1, ready),
  path: 'alive',
  usableSince: ready === 0 ? null : 1,
  flaps: 0,
  lastWord: 1,
});
/** Divides the requests of the Service `web`, in each kind's words. */
const OBJECTS = {
  trafficsplits: {
    name: 'web',
    spec: {
      service: 'web',
      backends: [
        { service: 'web', weight: 1 },
        { service: 'web-west', weight: 0 },
      ],
    },
  },
  httproutes: {
    name: 'web',
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: 'web' }],
      rules: [
        {
          backendRefs: [
            { name: 'web', port: 80, weight: 1 },
            { name: 'web-west', port: 80, weight: 0 },
          ],
        },
      ],
    },
  },
  serviceprofiles: {
    name: 'web.shop.svc.cluster.local',
    spec: {
      dstOverrides: ['web', 'web-west'].map((name) => ({
        authority: `${name}.shop.svc.cluster.local:80`,
        weight: 1,
      })),
    },
  },
} as const;

describe('a drain of a Service with a selector', () => {
  const web: V1Service = {
    metadata: { name: 'web', namespace: 'shop', uid: 'w' },
    spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
  };
  const world = (
    plural: keyof typeof OBJECTS,
    labels: Record<string, string>,
    ready = { here: 2, west: 2 },
  ) => {
    const cluster = new FakeCluster();
    cluster.put('links', {
      metadata: { name: 'west', namespace: 'links', uid: 'l' },
      spec: { targetClusterName: 'west' },
    } as object);
    cluster.put('services', web);
    cluster.put('services', {
      metadata: { name: 'web-west', namespace: 'shop', uid: 'm', labels: MIRROR },
      spec: { ports: [{ port: 80 }] },
    } as object);
    cluster.put('endpointslices', {
      metadata: {
        name: 'web-west',
        namespace: 'shop',
        labels: { ...MIRROR, 'kubernetes.io/service-name': 'web-west' },
        annotations: factsAnnotation(writeFacts(facts(ready.west))),
      },
      addressType: 'IPv4',
      endpoints: [],
    } as object);
    const { name, spec } = OBJECTS[plural];
    const annotations = {
      'failover.linkspan.dev/backend-facts': writeBackendFacts(new Map([['web', facts(ready.here)]])),
    };
    cluster.put(plural, {
      metadata: { name, namespace: 'shop', uid: 'o', labels, annotations },
      spec,
    } as object);
    return cluster;
  };
  const read = async (cluster: FakeCluster, change: Partial<KubeClient> = {}) => {
    const client = Object.assign(withRoutingKinds(cluster.client), change);
    return { ...(await readAllFailover(client, undefined, 'links', web)), named: web };
  };
  const managed = { 'failover.linkerd.io/controlled-by': 'linkspan' };
  const place = (cluster: string) => ({ cluster, service: 'shop/web' });

  // Sidecars followed what the Service said, and nothing but an editor could write it.
  for (const plural of Object.keys(OBJECTS) as (keyof typeof OBJECTS)[])
    it(`is written where managed weights are about it (${plural})`, async () => {
      const objects = await read(world(plural, managed));
      const { write, effects, findings } = planDrain(objects, place('local'), WISH, NOW);
      expect([write.on.metadata?.name, write.kind, write.annotation]).to.deep.equal([
        'web',
        'services',
        'drain.linkspan.dev/local',
      ]);
      expect([effects.length, findings]).to.deep.equal([1, []]);
      expect(planDrain(objects, place('west'), WISH, NOW).write.annotation).to.equal(
        'drain.linkspan.dev/west',
      );
      expect(planUndrain(objects, place('west'), NOW + 1)).to.equal(undefined);
    });

  it('is refused where the others could not bear it, by what is published of them', async () => {
    const objects = await read(world('trafficsplits', managed, { here: 2, west: 0 }));
    const { findings } = planDrain(objects, place('local'), WISH, NOW);
    expect(findings.map(({ code }) => code)).to.deep.equal(['DRAIN_SOLE_BACKEND']);
  });

  it('is of no use where nobody manages the weights, or none of them leads there', async () => {
    for (const [objects, cluster] of [
      [await read(world('trafficsplits', {})), 'west'],
      [await read(world('trafficsplits', managed)), 'north'],
    ] as const)
      try {
        planDrain(objects, place(cluster), WISH, NOW);
        expect.fail('it is planned');
      } catch (error) {
        expect(codeOf(error)).to.equal('DRAIN_NO_MEMBER');
      }
  });

  it('says what could not be read that may be about it', async () => {
    const cluster = world('trafficsplits', managed);
    const { client: plain } = cluster;
    const list = ((...[resource, options]: Parameters<KubeClient['list']>) =>
      resource.plural === 'serviceprofiles'
        ? Promise.reject(statusError(403, '{"reason":"Forbidden","message":"no"}', 'fake', undefined))
        : plain.list(resource, options)) as KubeClient['list'];
    const { unread = [] } = await read(cluster, { list });
    expect(unread.map((one) => one.split(':')[0])).to.deep.equal(['serviceprofiles.linkerd.io']);
  });
});
