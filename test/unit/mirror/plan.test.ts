import { expect } from 'chai';
import fc from 'fast-check';
import type { V1Service } from '@kubernetes/client-node';
import { decide } from '../../../src/mirror/verdict.ts';
import { plan, type Step } from '../../../src/mirror/plan.ts';
import type { MirrorFacts } from '../../../src/mirror/facts.ts';
import { exportedService, mirrorFacts, written } from '../../support/mirror-facts.ts';

const planned = (facts: MirrorFacts): Step[] => plan(facts, decide(facts));
const summary = (steps: readonly Step[]) => steps.map(({ verb, kind }) => `${verb} ${kind}`);
const patchOf = (step: Step | undefined): unknown => (step?.verb === 'patch' ? step.patch : undefined);

describe('mirror plan', () => {
  it('makes a mirror with two writes', () => {
    expect(summary(planned(mirrorFacts()))).to.deep.equal(['create services', 'create endpointSlices']);
  });

  it('writes nothing when nothing differs', () => {
    expect(planned(written(mirrorFacts()))).to.deep.equal([]);
  });

  it('writes nothing when only the remote resourceVersion moved, as it does with every status write over there', () => {
    const remote = exportedService();
    const moved = { ...remote, metadata: { ...remote.metadata, resourceVersion: '101' } };
    expect(planned({ ...written(mirrorFacts()), remote: moved })).to.deep.equal([]);
  });

  it('takes back a copied label that the remote Service gave up, and leaves what others added', () => {
    const before = written(mirrorFacts());
    const local: V1Service = {
      ...before.local,
      metadata: { ...before.local?.metadata, labels: { ...before.local?.metadata?.labels, theirs: 'x' } },
    };
    const remote = exportedService({
      metadata: {
        name: 'web',
        namespace: 'demo',
        uid: 'remote-uid',
        resourceVersion: '101',
        labels: {},
        annotations: { note: 'hello' },
      },
    });
    const [step, ...rest] = planned({ ...before, local, remote });
    expect(rest).to.deep.equal([]);
    expect(patchOf(step)).to.have.nested.property('metadata.labels').that.deep.equals({ team: null });
  });

  it('heals a port that was edited by hand', () => {
    const before = written(mirrorFacts());
    const local: V1Service = {
      ...before.local,
      spec: { ports: [{ name: 'http', port: 8081, protocol: 'TCP' }] },
    };
    expect(patchOf(planned({ ...before, local })[0])).to.have.nested.property('spec.ports[0].port', 80);
  });

  it('withdraws endpoints by emptying the slice, in one write', () => {
    const steps = planned({ ...written(mirrorFacts()), remoteReady: 0 });
    expect(summary(steps)).to.deep.equal(['patch endpointSlices']);
    expect(patchOf(steps[0])).to.deep.equal({ endpoints: [] });
  });

  it('gives slices to a mirror that was made again under another UID', () => {
    const before = written(mirrorFacts());
    const local: V1Service = { ...before.local, metadata: { ...before.local?.metadata, uid: 'other' } };
    expect(patchOf(planned({ ...before, local })[0])).to.have.nested.property(
      'metadata.ownerReferences[0].uid',
      'other',
    );
  });

  it('removes the mirror before its endpoints', () => {
    const facts = { ...written(mirrorFacts()), remote: undefined };
    expect(summary(planned(facts))).to.deep.equal(['delete services', 'delete endpointSlices']);
  });

  it('leaves slices that kube made from Endpoints to kube', () => {
    const kubes = {
      metadata: {
        name: 'web-west-abc',
        namespace: 'demo',
        labels: { 'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io' },
      },
      addressType: 'IPv4',
      endpoints: [],
    };
    const facts = { ...written(mirrorFacts()), remote: undefined };
    expect(summary(planned({ ...facts, localSlices: [...facts.localSlices, kubes] }))).to.deep.equal([
      'delete services',
      'delete endpointSlices',
    ]);
  });

  it('never writes to an object that is not ours, whatever the facts', () => {
    const facts = fc.record({
      synced: fc.boolean(),
      removalsHeld: fc.boolean(),
      namespaceExists: fc.boolean(),
      remote: fc.constantFrom(undefined, exportedService()),
      remoteReady: fc.constantFrom(undefined, 0, 3),
      local: fc.constantFrom<V1Service>(
        { metadata: { name: 'web-west', namespace: 'demo' } },
        {
          metadata: {
            name: 'web-west',
            namespace: 'demo',
            labels: { 'mirror.linkerd.io/mirrored-service': 'true' },
          },
        },
        {
          metadata: {
            name: 'web-west',
            namespace: 'demo',
            labels: {
              'mirror.linkerd.io/mirrored-service': 'true',
              'mirror.linkerd.io/cluster-name': 'west',
            },
            annotations: { 'mirror.linkerd.io/remote-svc-fq-name': 'other.demo.svc.cluster.local' },
          },
        },
      ),
    });
    fc.assert(fc.property(facts, (change) => planned(mirrorFacts(change)).length === 0));
  });

  it('converges: carrying a plan out leaves nothing to do', () => {
    const change = fc.record({
      remoteReady: fc.constantFrom(undefined, 0, 3),
      addresses: fc.array(fc.constantFrom({ ip: '10.0.0.1' }, { ip: '10.0.0.2' }, { ip: 'fd00::1' }), {
        maxLength: 3,
      }),
    });
    fc.assert(fc.property(change, (facts) => planned(written(mirrorFacts(facts))).length === 0));
  });
});
