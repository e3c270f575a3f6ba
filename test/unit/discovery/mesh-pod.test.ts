import type { V1Container, V1Pod } from '@kubernetes/client-node';
import { expect } from 'chai';
import { meshEndpoint, storedMeshPod } from '../../../src/discovery/mesh-pod.ts';

interface Shape {
  readonly annotations?: Record<string, string>;
  readonly proxy?: Partial<V1Container>;
  readonly spec?: Partial<NonNullable<V1Pod['spec']>>;
  readonly status?: V1Pod['status'];
}

const container: V1Container = { name: 'app', ports: [{ name: 'mysql', containerPort: 3307 }] };

/** A pod as Linkerd's injector leaves it. */
function pod({ annotations = {}, proxy = {}, spec = {}, status = {} }: Shape = {}): V1Pod {
  return {
    metadata: {
      name: 'web-1',
      namespace: 'demo',
      uid: 'u',
      resourceVersion: '7',
      labels: { 'linkerd.io/control-plane-ns': 'linkerd', app: 'web' },
      annotations: { 'linkerd.io/proxy-version': 'edge-26.8.1', ...annotations },
    },
    spec: {
      serviceAccountName: 'web',
      containers: [container, { name: 'linkerd-proxy', env: [{ name: 'SECRET', value: 'x' }], ...proxy }],
      ...spec,
    },
    status: {
      phase: 'Running',
      podIP: '10.0.0.1',
      podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }],
      ...status,
    },
  };
}

const seen = (shape: Shape, port = 8080) => {
  const stored = storedMeshPod(pod(shape));
  return stored === undefined ? undefined : meshEndpoint(stored, port, 'cluster.local');
};
const env = (...values: [string, string][]) => ({ env: values.map(([name, value]) => ({ name, value })) });

describe('a meshed pod', () => {
  it("has its account's identity, and Linkerd's port", () => {
    expect(seen({})).to.deep.equal({
      identity: 'web.demo.serviceaccount.identity.linkerd.cluster.local',
      port: 4143,
      opaque: false,
    });
  });

  it('has the port and the trust domain that its proxy is told', () => {
    const said = env(
      ['LINKERD2_PROXY_INBOUND_LISTEN_ADDR', '[::]:5143'],
      ['_l5d_trustdomain', 'mesh.example'],
    );
    expect(seen({ proxy: said })).to.include({
      identity: 'web.demo.serviceaccount.identity.linkerd.mesh.example',
      port: 5143,
    });
    const name = '$(_pod_sa).$(_pod_ns).serviceaccount.identity.linkerd.other.example';
    expect(seen({ proxy: env(['LINKERD2_PROXY_IDENTITY_LOCAL_NAME', name]) })?.identity).to.match(
      /^web\.demo\..*\.other\.example$/,
    );
  });

  it('may have its proxy as a native sidecar', () => {
    const spec = { containers: [container], initContainers: [{ name: 'linkerd-proxy' }] };
    expect(seen({ spec })?.port).to.equal(4143);
  });

  it("has Linkerd's opaque ports, or those that it names", () => {
    expect(seen({}, 5432)?.opaque).to.equal(true);
    const annotations = { 'config.linkerd.io/opaque-ports': '9000-9010,mysql' };
    expect(seen({ annotations }, 5432)?.opaque).to.equal(false);
    expect(seen({ annotations }, 9004)?.opaque).to.equal(true);
    expect(seen({ annotations }, 3307)?.opaque, 'by the name of a container port').to.equal(true);
  });

  it('is spoken to plainly on ports that it leaves out of the mesh', () => {
    const annotations = { 'config.linkerd.io/skip-inbound-ports': '8080' };
    expect(seen({ annotations })).to.equal(undefined);
    expect(seen({ annotations }, 8081)?.port).to.equal(4143);
  });

  const plain: [story: string, shape: Shape][] = [
    ['that has ended: its address may be that of another by now', { status: { phase: 'Succeeded' } }],
    ['that has failed', { status: { phase: 'Failed' } }],
    ['that has no proxy, whatever its label says', { spec: { containers: [container] } }],
    ["in the network of its node: other pods' processes answer there too", { spec: { hostNetwork: true } }],
    ['without an address', { status: { podIP: '', podIPs: [] } }],
  ];
  for (const [story, shape] of plain) {
    it(`is not one ${story}`, () => expect(seen(shape)).to.equal(undefined));
  }

  it('is stored without what is not needed', () => {
    const text = JSON.stringify(storedMeshPod(pod()));
    expect(text).not.to.contain('SECRET');
    expect(text.length).to.be.lessThan(400);
  });
});
