import type { V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { writeKeptWeights } from '../../../../src/api/failover/backend-weights.ts';
import { writeDrain } from '../../../../src/api/failover/failover-drain.ts';
import { writeBackendFacts } from '../../../../src/api/failover/backend-facts.ts';
import { type FailoverFacts, writeFacts } from '../../../../src/api/failover/failover-facts.ts';
import { codeOf, messageOf } from '../../../../src/api/errors/linkspan-error.ts';
import { factsAnnotation } from '../../../../src/api/mirror/slice-facts.ts';
import { readAllFailover } from '../../../../src/cli/queries/failover-rows.ts';
import { planDrain, planUndrain, servicesThere } from '../../../../src/drains/drain-plan.ts';
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

/** The weights that stand there. */
const WROTE = { trafficsplits: [1, 0], httproutes: [1, 0], serviceprofiles: [1, 1] } as const;
const IDS = {
  trafficsplits: ['web', 'web-west'],
  httproutes: ['web:80', 'web-west:80'],
  serviceprofiles: ['web.shop.svc.cluster.local:80', 'web-west.shop.svc.cluster.local:80'],
} as const;

function keptText(
  plural: keyof typeof OBJECTS,
  wrote: readonly number[] | 'nothing',
): Record<string, string> {
  if (wrote === 'nothing') return {};
  const weights = IDS[plural].map((backend, nth) => ({ backend, base: 1, wrote: wrote[nth] ?? 0 }));
  const text = writeKeptWeights(new Map([[0, { weights, rule: '' }]]));
  return text === undefined ? {} : { 'failover.linkspan.dev/base-weights': text };
}

describe('a drain of a Service with a selector', () => {
  const web: V1Service = {
    metadata: { name: 'web', namespace: 'shop', uid: 'w' },
    spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
  };
  const world = (
    plural: keyof typeof OBJECTS,
    labels: Record<string, string>,
    {
      ready = { here: 2, west: 2 },
      wrote = WROTE[plural],
      spec = {},
      said = {},
    }: {
      readonly ready?: { readonly here: number; readonly west: number };
      /** The weights that Linkspan wrote last. */
      readonly wrote?: readonly number[] | 'nothing';
      readonly spec?: object;
      readonly said?: Record<string, string>;
    } = {},
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
    const { name, spec: plain } = OBJECTS[plural];
    const annotations = {
      ...said,
      ...keptText(plural, wrote),
      'failover.linkspan.dev/backend-facts': writeBackendFacts(new Map([['web', facts(ready.here)]])),
    };
    cluster.put(plural, {
      metadata: { name, namespace: 'shop', uid: 'o', labels, annotations },
      spec: { ...plain, ...spec },
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
    const objects = await read(world('trafficsplits', managed, { ready: { here: 2, west: 0 } }));
    const { findings } = planDrain(objects, place('local'), WISH, NOW);
    expect(findings.map(({ code }) => code)).to.deep.equal(['DRAIN_SOLE_BACKEND']);
  });

  const refusal = (objects: Awaited<ReturnType<typeof read>>, cluster: string) => {
    try {
      planDrain(objects, place(cluster), WISH, NOW);
    } catch (error) {
      expect(codeOf(error)).to.equal('DRAIN_NO_MEMBER');
      return messageOf(error);
    }
    return expect.fail('it is planned');
  };

  it('is of no use where nobody manages the weights, or none of them leads there', async () => {
    refusal(await read(world('trafficsplits', {})), 'west');
    refusal(await read(world('trafficsplits', managed)), 'north');
  });

  // The label may name linkerd-failover or Flagger, whom no drain concerns: it would have been called done.
  it('is of no use where somebody else writes the weights, whatever the label says', async () => {
    refusal(await read(world('trafficsplits', managed, { wrote: 'nothing' })), 'west');
    const message = refusal(await read(world('trafficsplits', managed, { wrote: [3, 4] })), 'west');
    expect(message).to.contain('TrafficSplit shop/web: somebody else has written its weights last');
  });

  it('is judged by each object about it, of which there may be several', async () => {
    const cluster = world('trafficsplits', managed);
    const { name, spec } = OBJECTS.httproutes;
    const annotations = keptText('httproutes', WROTE.httproutes);
    cluster.put('httproutes', {
      metadata: { name, namespace: 'shop', uid: 'r', labels: managed, annotations },
      spec,
    } as object);
    const { effects } = planDrain(await read(cluster), place('west'), WISH, NOW);
    expect(effects.map(({ service }) => service)).to.deep.equal([
      'shop/web (HTTPRoute web rule 1)',
      'shop/web (TrafficSplit web)',
    ]);
  });

  // One list of weights follows the drains of all Services that it is about.
  it('counts what another Service says of the same weights', async () => {
    const parentRefs = ['web', 'api'].map((name) => ({ group: '', kind: 'Service', name }));
    const cluster = world('httproutes', managed, { spec: { parentRefs } });
    const drain = writeDrain({ to: 0, start: 0, rampMs: 0, until: NOW * 2, drill: false });
    const annotations = { 'drain.linkspan.dev/west': drain };
    cluster.put('services', {
      metadata: { name: 'api', namespace: 'shop', uid: 'a', annotations },
      spec: { selector: { app: 'api' }, ports: [{ port: 80 }] },
    } as object);
    const { findings } = planDrain(await read(cluster), place('local'), WISH, NOW);
    expect(findings.map(({ code }) => code)).to.deep.equal(['DRAIN_SOLE_BACKEND']);
  });

  describe('as one of all of a cluster', () => {
    const readAll = async (cluster: FakeCluster) =>
      readAllFailover(withRoutingKinds(cluster.client), undefined, 'links', 'all');
    const WEST = { cluster: 'west' };
    const codes = ({ findings }: ReturnType<typeof planDrain>) => findings.map(({ code }) => code);

    // Sidecars follow the drain of the Link, too: the safety rule has looked at what the egress divides only.
    for (const plural of Object.keys(OBJECTS) as (keyof typeof OBJECTS)[])
      it(`is refused where nobody else could serve it (${plural})`, async () => {
        const fine = planDrain(await readAll(world(plural, managed)), WEST, WISH, NOW);
        expect([fine.effects.length, codes(fine)]).to.deep.equal([1, []]);
        const cluster = world(plural, managed, { ready: { here: 0, west: 2 } });
        const alone = planDrain(await readAll(cluster), WEST, WISH, NOW);
        expect(codes(alone)).to.deep.equal(['DRAIN_SOLE_BACKEND']);
        expect(alone.findings[0]?.message).to.contain('can serve shop/web (');
      });

    it('is refused where the others could not bear it', async () => {
      const said = { 'failover.linkspan.dev/tiers': 'web-west; web' };
      const cluster = world('trafficsplits', managed, { ready: { here: 1, west: 4 }, said });
      expect(codes(planDrain(await readAll(cluster), WEST, WISH, NOW))).to.deep.equal(['DRAIN_CAPACITY']);
    });

    it('counts what the Service says of others', async () => {
      const cluster = world('trafficsplits', managed);
      const drain = writeDrain({ to: 0, start: 0, rampMs: 0, until: NOW * 2, drill: false });
      cluster.put('services', {
        ...web,
        metadata: { ...web.metadata, annotations: { 'drain.linkspan.dev/local': drain } },
      });
      expect(codes(planDrain(await readAll(cluster), WEST, WISH, NOW))).to.deep.equal(['DRAIN_SOLE_BACKEND']);
    });

    it('is judged where somebody else has written last, as Linkspan may write again, and else not', async () => {
      const ready = { here: 0, west: 2 };
      const found = async (labels: Record<string, string>, wrote?: readonly number[] | 'nothing') => {
        const cluster = world('trafficsplits', labels, { ready, ...(wrote === undefined ? {} : { wrote }) });
        return codes(planDrain(await readAll(cluster), WEST, WISH, NOW));
      };
      expect(await found(managed, [3, 4])).to.deep.equal(['DRAIN_SOLE_BACKEND']);
      expect(await found(managed, 'nothing')).to.deep.equal([]);
      expect(await found({})).to.deep.equal([]);
    });

    it('is no subject of a drill: the egress would have to count its requests', async () => {
      expect([...servicesThere(await readAll(world('trafficsplits', managed)), 'west')]).to.deep.equal([]);
    });
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
