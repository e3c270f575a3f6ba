import type { V1Endpoint, V1EndpointSlice, V1Pod, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { type KubeTargetsOptions, openKubeTargets } from '../../../src/discovery/kube-targets.ts';
import { handMadeSlicesIn } from '../../../src/exports/slice-makers.ts';
import type { TargetSource } from '../../../src/discovery/target-spec.ts';
import { statusError } from '../../../src/kube/client/api-error.ts';
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
      labels: {
        ...labels,
        'kubernetes.io/service-name': 'web',
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
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
  let captured: ReturnType<typeof captureLog>;

  function open(options: Partial<KubeTargetsOptions> = {}): void {
    const common = { client: cluster.client, clock, random: () => 0.5, log: captured.log };
    targets = openKubeTargets({ ...common, clusterDomain: 'west.example', ...options });
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
    captured = captureLog();
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

  // Whoever may write slices in one namespace sent other clusters' requests to any address that the gateway
  // reaches: nodes, the API server, pods of others.
  it('serves no slice that neither kube nor Linkerd has made, and says so', async () => {
    const byHand = (change: Partial<NonNullable<V1EndpointSlice['metadata']>>) => {
      const made = slice(['10.66.0.1'], [80]);
      return { ...made, metadata: { ...made.metadata, name: 'web-2', ...change } };
    };
    const labels = { ...EXPORTED, 'kubernetes.io/service-name': 'web' };
    const maker = (name: string) => ({
      labels: { ...labels, 'endpointslice.kubernetes.io/managed-by': name },
    });
    cluster.put('services', service([80]));
    cluster.put('endpointslices', slice(['10.0.0.1'], [80]));
    cluster.put('endpointslices', byHand({ labels }));
    open();
    await watching();
    expect(endpoints(80)).to.deep.equal(['10.0.0.1:8080']);
    const problems = captured.lines.flatMap((line) => (line['problems'] ?? []) as string[]);
    expect(problems).to.deep.equal(['slices made by hand are not served here (--hand-made-slices): web-2']);
    cluster.put('endpointslices', byHand(maker('me')));
    await settle(20);
    expect(endpoints(80)).to.deep.equal(['10.0.0.1:8080']);
    // Kube's, of Endpoints that somebody has written.
    cluster.put('endpointslices', byHand(maker('endpointslicemirroring-controller.k8s.io')));
    await settle(20);
    expect(endpoints(80)).to.deep.equal(['10.0.0.1:8080']);
    cluster.put('endpointslices', byHand(maker('linkerd-external-workloads-controller')));
    await seen('that of an ExternalWorkload', () => endpoints(80)?.length === 2);
  });

  for (const [what, namespaces, expected] of [
    ['its namespace', ['other', 'demo'], ['10.66.0.1:8080']],
    ['every namespace', ['all'], ['10.66.0.1:8080']],
    ['another namespace', ['other'], []],
  ] as const) {
    it(`serves a slice made by hand as ${what} is open to them`, async () => {
      const { metadata, ...rest } = slice(['10.66.0.1'], [80]);
      const labels = { 'kubernetes.io/service-name': 'web' };
      const { spec, ...bare } = service([80]);
      cluster.put('services', { ...bare, spec: { ...spec, selector: {} } } as V1Service);
      cluster.put('endpointslices', { ...rest, metadata: { ...metadata, labels } } as V1EndpointSlice);
      open({ handMadeSlices: handMadeSlicesIn(namespaces) });
      await seen('the slices', () => targets.ready.ok && targets.get(NAME, 80) !== undefined);
      await settle(20);
      expect(endpoints(80)).to.deep.equal(expected);
    });
  }

  it('says what is wrong while it cannot list', async () => {
    cluster.listError = new Error('connect ECONNREFUSED');
    open();
    await seen('the reason', () => targets.ready.reason === 'connect ECONNREFUSED');
    expect(targets.ready.ok).to.equal(false);
  });

  // An egress without a right to read them goes on without pods of its own cluster.
  it('is ready nevertheless where it is not required', async () => {
    cluster.listError = new Error('forbidden');
    open({ required: false });
    expect(targets.ready.ok, 'before it is known').to.equal(false);
    await seen('the reason', () => targets.ready.reason === 'forbidden');
    expect(targets.ready.ok).to.equal(true);
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

  it('prefers the endpoints that are for its zone, by the hints of their slices', async () => {
    cluster.put('services', service([80]));
    const plain = slice([], [80]);
    const put = (...all: V1Endpoint[]) =>
      cluster.put('endpointslices', Object.assign({}, plain, { endpoints: all }));
    const hinted = (address: string, zone: string) => ({
      addresses: [address],
      hints: { forZones: [{ name: zone }] },
    });
    put(hinted('10.0.0.1', 'a'), hinted('10.0.0.2', 'b'));
    open({ zone: 'b' });
    await watching();
    const preferred = () =>
      targets
        .get(NAME, 80)
        ?.endpoints.filter((one) => one.preferred)
        .map(({ host }) => host);
    expect(preferred()).to.deep.equal(['10.0.0.2']);
    put(hinted('10.0.0.1', 'a'), { addresses: ['10.0.0.2'] });
    await seen('that hints do not count', () => preferred()?.length === 0);
    expect(told).to.include(`${NAME}:80`);
  });

  it('says once what is wrong with the annotations of a Service, and follows them when they are right', async () => {
    const annotated = (max: string): V1Service => {
      const plain = service([80, 81]);
      const annotations = {
        'balancer.linkerd.io/failure-accrual': 'consecutive',
        'balancer.linkerd.io/failure-accrual-consecutive-max-failures': max,
      };
      return { ...plain, metadata: { ...plain.metadata, annotations } };
    };
    cluster.put('services', annotated('lots'));
    open();
    await watching();
    cluster.put('endpointslices', slice(['10.0.0.1'], [80, 81]));
    await seen('the endpoint', () => endpoints(80)?.length === 1);
    const said = () => captured.lines.filter(({ msg }) => msg === 'annotations not followed');
    expect(said()).to.have.length(1);
    expect(targets.get(NAME, 80)?.accrual?.maxFailures).to.equal(7);
    cluster.put('services', annotated('2'));
    await seen('the rules', () => targets.get(NAME, 80)?.accrual?.maxFailures === 2);
    expect(said()).to.have.length(1);
  });

  // kube writes the slices of the two families one after the other: in between a Service seems to have
  // changed its family, and every connection would be made anew, twice.
  describe('with a dual-stack Service', () => {
    const dual = (): V1Service => {
      const plain = service([80]);
      return { ...plain, spec: { ...plain.spec, ipFamilies: ['IPv4', 'IPv6'] } };
    };
    const six = (addresses: string[]): V1EndpointSlice => ({
      ...slice(addresses, [80]),
      metadata: { ...slice([], [80]).metadata, name: 'web-6' },
      addressType: 'IPv6',
    });
    beforeEach(async () => {
      cluster.put('services', dual());
      cluster.put('endpointslices', slice(['10.0.0.1'], [80]));
      cluster.put('endpointslices', six(['fd00::1']));
      open();
      await watching();
      await seen('the endpoint', () => endpoints(80)?.length === 1);
      told = [];
    });

    it('stays with its first family while only that of the other one is known to have endpoints', async () => {
      cluster.put('endpointslices', slice([], [80]));
      await settle(10);
      expect(endpoints(80)).to.deep.equal(['10.0.0.1:8080']);
      cluster.put('endpointslices', slice(['10.0.0.2'], [80]));
      await seen('the new endpoint', () => endpoints(80)?.[0] === '10.0.0.2:8080');
      await clock.advance(5000);
      expect(told).to.deep.equal([`${NAME}:80`]);
    });

    it('changes to the other when that lasts, and back at once', async () => {
      cluster.put('endpointslices', slice([], [80]));
      await settle(10);
      await clock.advance(1000);
      expect(endpoints(80)).to.deep.equal(['fd00::1:8080']);
      cluster.put('endpointslices', slice(['10.0.0.2'], [80]));
      await seen('the first family', () => endpoints(80)?.[0] === '10.0.0.2:8080');
    });

    it('has no endpoints at once when both have none', async () => {
      cluster.put('endpointslices', slice([], [80]));
      cluster.put('endpointslices', six([]));
      await seen('that there is none', () => endpoints(80)?.length === 0);
    });
  });

  describe('with meshed pods', () => {
    const mesh = { controlNamespace: 'linkerd', trustDomain: 'cluster.local' };
    const pod = (name: string, ip: string, control = 'linkerd'): V1Pod => ({
      metadata: { name, namespace: 'demo', labels: { 'linkerd.io/control-plane-ns': control } },
      spec: { serviceAccountName: 'web', containers: [{ name: 'linkerd-proxy' }] },
      status: { podIP: ip, podIPs: [{ ip }], phase: 'Running' },
    });
    const meshed = () =>
      targets.get(NAME, 80)?.endpoints.map((one) => one.mesh?.identity.split('.')[0] ?? '-');
    beforeEach(() => {
      cluster.put('services', service([80]));
      cluster.put('endpointslices', slice(['10.0.0.1', '10.0.0.2', '10.0.0.3'], [80]));
    });

    it('speaks to those of its own control plane as their mesh does, and to others plainly', async () => {
      cluster.put('pods', pod('web-1', '10.0.0.1'));
      cluster.put('pods', pod('web-2', '10.0.0.2', 'other'));
      open({ mesh });
      await seen('readiness', () => targets.ready.ok && meshed()?.length === 3);
      expect(meshed()).to.deep.equal(['web', '-', '-']);
      expect(cluster.watches).to.include('pods linkerd.io/control-plane-ns=linkerd');
    });

    it('hears of a pod that comes later, and of one that goes', async () => {
      open({ mesh });
      await seen('readiness', () => targets.ready.ok && meshed()?.length === 3);
      told = [];
      cluster.put('pods', pod('web-3', '10.0.0.3'));
      await seen('the pod', () => meshed()?.[2] === 'web');
      expect(told).to.deep.equal([`${NAME}:80`]);
      cluster.remove('pods', 'demo', 'web-3');
      await seen('that it is gone', () => meshed()?.[2] === '-');
    });

    it('watches no pods when it is not asked to, nor where Linkerd is not', async () => {
      open();
      await watching();
      await targets.close();
      let asked = 0;
      const raw = (_: string, at: string) => {
        // Whether there are ServiceProfiles, splits and grants are other questions.
        if (at === '/apis/policy.linkerd.io') asked++;
        return Promise.reject(statusError(404, '{"reason":"NotFound"}', 'fake', undefined));
      };
      const client = Object.assign(cluster.client, { raw });
      open({ client, routes: 'profile', mesh: { ...mesh, detect: true } });
      await seen('readiness', () => targets.ready.ok && asked === 1);
      expect(cluster.watches.filter((one) => one.startsWith('pods'))).to.deep.equal([]);
      await clock.advance(60_000);
      await seen('that it looks again', () => asked === 2);
    });

    // An account of before has no rights to the kinds: exports are served as before, and not never.
    it('is ready without the rights to read splits and routes, and only then without knowing them', async () => {
      const resources = [{ name: 'httproutes' }];
      const raw = (_: string, at: string) => {
        if (at === '/apis/gateway.networking.k8s.io')
          return Promise.resolve({ versions: [{ version: 'v1' }] });
        if (at === '/apis/gateway.networking.k8s.io/v1') return Promise.resolve({ resources });
        return Promise.reject(statusError(404, '{"reason":"NotFound"}', 'fake', undefined));
      };
      const plain = cluster.client;
      let answer: (error: Error) => void = () => undefined;
      const list = (...[resource, options]: Parameters<typeof plain.list>) =>
        resource.plural === 'httproutes'
          ? new Promise<never>((_, reject) => (answer = reject))
          : plain.list(resource, options);
      open({ client: Object.assign(cluster.client, { raw, list }) });
      await seen('what is listed', () => targets.ready.reason === 'splits and routes are being listed');
      answer(statusError(403, '{"reason":"Forbidden"}', 'fake', undefined));
      await seen('readiness', () => targets.ready.ok);
    });

    it('begins when Linkerd is there', async () => {
      cluster.put('pods', pod('web-1', '10.0.0.1'));
      const client = Object.assign(cluster.client, { raw: () => Promise.resolve({}) });
      open({ client, mesh: { ...mesh, detect: true } });
      await seen('the pod', () => meshed()?.[0] === 'web');
    });
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

    // Slices follow their Service's labels a moment later: clients of one pod must not hear "no such service"
    // in between.
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
