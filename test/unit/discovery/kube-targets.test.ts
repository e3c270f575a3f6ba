import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { openKubeTargets } from '../../../src/discovery/kube-targets.ts';
import type { TargetSource } from '../../../src/discovery/target.ts';
import { captureLog } from '../../support/captured-log.ts';
import { eventually } from '../../support/eventually.ts';
import { FakeCluster } from '../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../support/virtual-clock.ts';

const EXPORTED = { 'mirror.linkerd.io/exported': 'true' };
const NAME = 'web.demo.svc.west.example';

function service(ports: number[], labels: Record<string, string> = EXPORTED, name = 'web'): V1Service {
  return {
    metadata: { name, namespace: 'demo', labels },
    spec: { selector: { app: 'web' }, ports: ports.map((port) => ({ port, name: `p${port}` })) },
  };
}

function slice(
  addresses: string[],
  ports: number[],
  labels: Record<string, string> = EXPORTED,
): V1EndpointSlice {
  return {
    metadata: {
      name: 'web-1',
      namespace: 'demo',
      labels: { ...labels, 'kubernetes.io/service-name': 'web' },
    },
    addressType: 'IPv4',
    ports: ports.map((port) => ({ name: `p${port}`, port: port + 8000 })),
    endpoints: addresses.map((address) => ({ addresses: [address] })),
  };
}

describe('openKubeTargets', () => {
  let cluster: FakeCluster;
  let clock: VirtualClock;
  let targets: TargetSource;
  let told: string[];

  function open(): void {
    const { log } = captureLog();
    const common = { client: cluster.client, clock, random: () => 0.5, log };
    targets = openKubeTargets({ ...common, clusterDomain: 'west.example' });
    targets.subscribe((key) => void told.push(key));
  }
  const seen = (what: string, condition: () => boolean) =>
    eventually(what, async () => {
      await settle();
      return condition();
    });
  const watching = () => seen('all watches', () => cluster.watches.length === 4);
  const endpoints = (port: number) =>
    targets.get(NAME, port)?.endpoints.map((one) => `${one.host}:${one.port}`);

  beforeEach(() => {
    cluster = new FakeCluster();
    clock = new VirtualClock();
    told = [];
  });
  afterEach(() => targets.close());

  it('is ready with the first complete lists, and has the endpoints that were in them', async () => {
    cluster.put('services', service([80, 81]));
    cluster.put('endpointslices', slice(['10.0.0.1'], [80, 81]));
    open();
    expect(targets.ready.ok).to.equal(false);
    await seen('readiness', () => targets.ready.ok);
    await settle();
    expect(endpoints(80)).to.deep.equal(['10.0.0.1:8080']);
    expect(endpoints(81)).to.deep.equal(['10.0.0.1:8081']);
    expect([...targets.keys()]).to.deep.equal([`${NAME}:80`, `${NAME}:81`]);
  });

  it('says what is wrong while it cannot list', async () => {
    cluster.listError = new Error('connect ECONNREFUSED');
    open();
    await seen('the reason', () => targets.ready.reason === 'connect ECONNREFUSED');
    expect(targets.ready.ok).to.equal(false);
  });

  it('reaches Services that are exported or federated, and no others', async () => {
    cluster.put('services', service([80], { 'mirror.linkerd.io/federated': 'member' }));
    cluster.put('services', service([80], { 'mirror.linkerd.io/exported': 'remote-discovery' }, 'flat'));
    cluster.put('services', service([80], {}, 'private'));
    open();
    await watching();
    expect([...targets.keys()]).to.deep.equal([`${NAME}:80`]);
  });

  it('tells of a port that changes its endpoints, and of no other', async () => {
    cluster.put('services', service([80, 81]));
    cluster.put('endpointslices', slice(['10.0.0.1'], [80, 81]));
    open();
    await watching();
    told = [];
    cluster.put('endpointslices', slice(['10.0.0.1'], [80]));
    await seen('the change', () => told.length > 0);
    expect(told).to.deep.equal([`${NAME}:81`]);
    expect(endpoints(81)).to.deep.equal([]);
  });

  it('forgets a port that the Service gives up, and all of them when it is unexported', async () => {
    cluster.put('services', service([80, 81]));
    open();
    await watching();
    cluster.put('services', service([80]));
    await seen('the lost port', () => targets.get(NAME, 81) === undefined);
    expect(targets.get(NAME, 80)).not.to.equal(undefined);
    cluster.put('services', service([80], {}));
    await seen('the end', () => targets.get(NAME, 80) === undefined);
    expect([...targets.keys()]).to.deep.equal([]);
  });

  // Slices follow their Service's labels a moment later: the gateway must not answer 503 in between.
  it('keeps sending to the known endpoints while it does not know the new ones', async () => {
    cluster.put('services', service([80]));
    cluster.put('endpointslices', slice(['10.0.0.1'], [80]));
    open();
    await watching();
    cluster.put('endpointslices', slice(['10.0.0.1'], [80], {}));
    await settle(10);
    expect(endpoints(80)).to.deep.equal(['10.0.0.1:8080']);
    cluster.put('endpointslices', slice([], [80]));
    await seen('the empty slice', () => endpoints(80)?.length === 0);
  });

  describe('with a headless Service', () => {
    const HOST = `web-0.${NAME}`;
    const headless = (ports: number[]): V1Service => {
      const plain = service(ports);
      return { ...plain, spec: { ...plain.spec, clusterIP: 'None' } };
    };
    const pods = (hosts: Record<string, string>, labels = EXPORTED): V1EndpointSlice => ({
      ...slice([], [80], labels),
      endpoints: Object.entries(hosts).map(([hostname, address]) => ({ addresses: [address], hostname })),
    });
    const hostEndpoints = () => targets.get(HOST, 80)?.endpoints.map((one) => `${one.host}:${one.port}`);

    beforeEach(async () => {
      cluster.put('services', headless([80]));
      cluster.put('endpointslices', pods({ 'web-0': '10.0.0.1', 'web-1': '10.0.0.2' }));
      open();
      await watching();
      await seen('the host', () => targets.get(HOST, 80) !== undefined);
      told = [];
    });

    it('has a target for each host name beside the Service', () => {
      expect([...targets.keys()].sort()).to.deep.equal([
        `web-0.${NAME}:80`,
        `web-1.${NAME}:80`,
        `${NAME}:80`,
      ]);
      expect(hostEndpoints()).to.deep.equal(['10.0.0.1:8080']);
    });

    it('tells of a host that moves, and not of its neighbours', async () => {
      cluster.put('endpointslices', pods({ 'web-0': '10.0.0.9', 'web-1': '10.0.0.2' }));
      await seen('the change', () => hostEndpoints()?.[0] === '10.0.0.9:8080');
      expect(told).to.have.members([`${NAME}:80`, `${HOST}:80`]);
    });

    it('forgets a host that is gone, and all of them with the Service', async () => {
      cluster.put('endpointslices', pods({ 'web-1': '10.0.0.2' }));
      await seen('the host gone', () => targets.get(HOST, 80) === undefined);
      expect(targets.get(`web-1.${NAME}`, 80)).not.to.equal(undefined);
      cluster.remove('services', 'demo', 'web');
      await seen('the end', () => [...targets.keys()].length === 0);
    });

    // Slices follow their Service's labels a moment later: clients of one pod must not hear "no such service" in between.
    it('keeps hosts and their endpoints while it does not know the new ones', async () => {
      cluster.put('endpointslices', pods({ 'web-0': '10.0.0.1' }, {} as typeof EXPORTED));
      cluster.put('services', headless([80, 81]));
      await seen('the new port of the host', () => targets.get(HOST, 81) !== undefined);
      expect(hostEndpoints()).to.deep.equal(['10.0.0.1:8080']);
      cluster.put('endpointslices', pods({}));
      await seen('the host gone', () => targets.get(HOST, 80) === undefined);
    });
  });
});
