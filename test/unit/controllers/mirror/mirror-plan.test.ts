import { expect } from 'chai';
import fc from 'fast-check';
import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { decide } from '../../../../src/controllers/mirror/mirror-verdict.ts';
import { plan } from '../../../../src/controllers/mirror/mirror-plan.ts';
import type { Step } from '../../../../src/controllers/reconcile/steps.ts';
import type { MirrorFacts } from '../../../../src/controllers/reconcile/mirror-facts.ts';
import {
  aliveGateway,
  exportedService,
  mirrorFacts,
  nothing,
  stored,
  written,
} from '../../../support/mirror-facts.ts';

const planned = (facts: MirrorFacts): Step[] => plan(facts, decide(facts));
const summary = (steps: readonly Step[]) => steps.map(({ verb, kind }) => `${verb} ${kind}`);
const decidedParts = (facts: MirrorFacts) => {
  const verdict = decide(facts);
  return verdict.action === 'mirror' ? verdict.parts : [];
};
const withMirror = ({ local }: MirrorFacts, change: Partial<V1Service>) => ({
  ...local,
  service: { ...local.service, ...change },
});
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
    const labels = { ...before.local.service?.metadata?.labels, theirs: 'x' };
    const local = withMirror(before, { metadata: { ...before.local.service?.metadata, labels } });
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
    const local = withMirror(before, { spec: { ports: [{ name: 'http', port: 8081, protocol: 'TCP' }] } });
    expect(patchOf(planned({ ...before, local })[0])).to.have.nested.property('spec.ports[0].port', 80);
  });

  it('withdraws endpoints by emptying the slice, in one write', () => {
    const steps = planned({ ...written(mirrorFacts()), remoteReady: 0 });
    expect(summary(steps)).to.deep.equal(['patch endpointSlices']);
    expect(patchOf(steps[0])).to.deep.equal({
      endpoints: [],
      metadata: { annotations: { 'linkspan.dev/not-ready': 'NoReadyEndpoints' } },
    });
  });

  it('gives slices to a mirror that was made again under another UID', () => {
    const before = written(mirrorFacts());
    const local = withMirror(before, { metadata: { ...before.local.service?.metadata, uid: 'other' } });
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
    const local = { ...facts.local, slices: [...facts.local.slices, kubes] };
    expect(summary(planned({ ...facts, local }))).to.deep.equal(['delete services', 'delete endpointSlices']);
  });

  it('never writes to an object that is not ours, whatever the facts', () => {
    const facts = fc.record({
      synced: fc.boolean(),
      removalsHeld: fc.boolean(),
      namespace: fc.constantFrom('present' as const, 'absent' as const, 'terminating' as const),
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
    fc.assert(
      fc.property(facts, ({ local, ...change }) => {
        const facts = mirrorFacts({ ...change, local: { ...nothing, service: local } });
        return planned(facts).length === 0;
      }),
    );
  });

  it('converges: carrying a plan out leaves nothing to do', () => {
    const change = fc.record({
      remoteReady: fc.constantFrom(undefined, 0, 3),
      gateway: fc
        .uniqueArray(fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::1'), { minLength: 1 })
        .map((alive) => aliveGateway({ alive })),
      flat: fc.boolean(),
    });
    fc.assert(fc.property(change, (facts) => planned(written(mirrorFacts(facts))).length === 0));
  });

  it("leaves somebody else's Endpoints of the mirror's name alone", () => {
    const { link } = mirrorFacts();
    const facts = mirrorFacts({ link: { ...link, writeEndpoints: true } });
    const before = written(facts);
    const endpoints = { metadata: { name: 'web-west', namespace: 'demo' }, subsets: [] };
    expect(planned({ ...before, local: { ...before.local, endpoints } })).to.deep.equal([]);
  });

  it('makes a mirror anew when it becomes headless: that cannot be changed in place', () => {
    const { link } = mirrorFacts();
    const before = written(mirrorFacts());
    const remote = exportedService({ spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] } });
    const hosts = [{ host: 'web-0', name: 'web-0-west', ready: true, graceMs: 0, local: nothing }];
    const steps = planned({ ...before, remote, link: { ...link, headless: true }, hosts }).filter(
      ({ verb }) => verb === 'delete',
    );
    expect(summary(steps)).to.deep.equal(['delete services', 'delete endpointSlices']);
  });

  it('removes the endpoint mirror of a host that is gone, and all of them with the mirror', () => {
    const { link } = mirrorFacts();
    const remote = exportedService({ spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] } });
    const facts = mirrorFacts({
      remote,
      link: { ...link, headless: true },
      hosts: [{ host: 'web-0', name: 'web-0-west', ready: true, graceMs: 0, local: nothing }],
    });
    const [, host] = decidedParts(facts);
    const gone = host === undefined ? nothing : stored(host);
    const before = { ...written({ ...facts, hosts: [] }), formerHosts: [gone] };
    expect(summary(planned(before))).to.deep.equal(['delete services', 'delete endpointSlices']);
    expect(
      summary(planned({ ...before, remote: undefined })).filter((step) => step === 'delete services'),
    ).to.have.length(2);
  });

  it('takes back what diverts addresses to the mirror, or names what is not its own', () => {
    // `externalIPs` of a mirror make kube-proxy divert these addresses everywhere (CVE-2020-8554); they
    // stayed, as did others.
    const before = written(mirrorFacts());
    const fields = {
      externalIPs: ['192.0.2.9'],
      externalName: 'x.example',
      externalTrafficPolicy: 'Local',
      loadBalancerIP: '192.0.2.1',
      loadBalancerSourceRanges: ['10.0.0.0/8'],
      publishNotReadyAddresses: true,
    };
    for (const [field, value] of Object.entries(fields)) {
      const spec = { ...before.local.service?.spec, [field]: value };
      const [step, ...rest] = planned({ ...before, local: withMirror(before, { spec }) });
      expect(rest, field).to.deep.equal([]);
      expect(patchOf(step), field)
        .to.have.property('spec')
        .that.deep.equals({ [field]: null });
    }
    // What the cluster or a person says of address families is theirs.
    const spec = {
      ...before.local.service?.spec,
      ipFamilyPolicy: 'PreferDualStack',
      ipFamilies: ['IPv6', 'IPv4'],
    };
    expect(planned({ ...before, local: withMirror(before, { spec }) })).to.deep.equal([]);
  });

  it('removes the slices that kube made of local pods by a selector of a hand, once that is gone', () => {
    const before = written(mirrorFacts());
    const labels = {
      'kubernetes.io/service-name': 'web-west',
      'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
    };
    const kubes: V1EndpointSlice = {
      metadata: { name: 'web-west-abcde', namespace: 'demo', labels },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.1.2.3'] }],
    };
    const slices = [...before.local.slices, kubes];
    const spec = { ...before.local.service?.spec, selector: { app: 'x' } };
    const edited = { ...before, local: { ...withMirror(before, { spec }), slices } };
    expect(summary(planned(edited)), 'kube would make it anew').to.deep.equal(['patch services']);
    const healed = { ...before, local: { ...before.local, slices } };
    expect(summary(planned(healed))).to.deep.equal(['delete endpointSlices']);
  });

  it('puts back what a hand changed on the Service: type, selector, affinity', () => {
    const before = written(mirrorFacts());
    const spec = {
      ...before.local.service?.spec,
      type: 'LoadBalancer',
      selector: { app: 'x' },
      sessionAffinity: 'ClientIP',
    };
    const [step] = planned({ ...before, local: withMirror(before, { spec }) });
    expect(patchOf(step)).to.have.property('spec').that.deep.includes({
      type: 'ClusterIP',
      selector: null,
      sessionAffinity: null,
    });
  });
});
