import { expect } from 'chai';
import { openKubePolicies } from '../../../../src/gateway/authorization/kube-policies.ts';
import type { PolicySource } from '../../../../src/gateway/authorization/policy-source.ts';
import type { KubeClient } from '../../../../src/kube/client/kube-client.ts';
import { statusError } from '../../../../src/kube/client/api-error.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { settle, VirtualClock } from '../../../support/virtual-clock.ts';

const KINDS = [
  'servers',
  'serverauthorizations',
  'authorizationpolicies',
  'meshtlsauthentications',
  'networkauthentications',
];
const CLIENT = { identity: 'front.shop', address: '192.0.2.1' };
const spec = {
  name: 'web.demo.svc.cluster.local',
  port: 80,
  endpoints: [{ host: '10.0.0.1', port: 8080, ready: true }],
};

const object = (name: string, fields: object, labels: Record<string, string> = {}) => ({
  metadata: { name, namespace: 'demo', labels },
  ...fields,
});

/**
 * Policies come, go and cannot be read while traffic flows; at no moment may a gateway take "not known" for
 * "none".
 */
describe('policies as they are installed and taken away', () => {
  let cluster: FakeCluster;
  let clock: VirtualClock;
  /** Kinds that the API server serves. */
  let served: readonly string[];
  let away: boolean;
  let policies: PolicySource;

  beforeEach(() => {
    cluster = new FakeCluster();
    clock = new VirtualClock();
    served = [];
    away = false;
    cluster.put('pods', object('web', { status: { podIPs: [{ ip: '10.0.0.1' }] } }, { app: 'web' }));
    cluster.put(
      'servers',
      object('web', { spec: { podSelector: { matchLabels: { app: 'web' } }, port: 8080 } }),
    );
  });
  afterEach(() => policies.close());

  async function open(): Promise<void> {
    const raw = (_: string, path: string) => {
      if (away) return Promise.reject(new Error('nobody answers'));
      const group = path.startsWith('/apis/policy.linkerd.io') && served.length > 0;
      if (!group) return Promise.reject(statusError(404, '', path, undefined));
      if (path.endsWith('v1')) return Promise.resolve({ resources: served.map((name) => ({ name })) });
      return Promise.resolve({ versions: [{ version: 'v1' }] });
    };
    policies = openKubePolicies({
      client: { ...cluster.client, raw } as unknown as KubeClient,
      clock,
      random: () => 0.5,
      log: createLogger({ name: 'policies', level: 'silent' }),
      setting: () => ({ controlNamespace: 'linkerd', trustDomain: 'cluster.local', clusterNetworks: [] }),
      own: undefined,
      targets: true,
    });
    await settle(20);
  }

  const allowed = () => policies.verdict(spec, 'demo', CLIENT).allowed;
  const allowFront = () => {
    cluster.put(
      'authorizationpolicies',
      object('all', { spec: { targetRef: { group: 'policy.linkerd.io', kind: 'Server', name: 'web' } } }),
    );
  };

  it('restrict nobody where they are not installed, and nothing is watched', async () => {
    await open();
    expect([policies.ready.ok, allowed()]).to.deep.equal([true, true]);
    expect(cluster.watches).to.deep.equal([]);
  });

  it('refuse everybody until it is known whether they are installed', async () => {
    away = true;
    await open();
    expect([policies.ready.ok, allowed()]).to.deep.equal([false, false]);
    expect(policies.ready.reason).to.equal('policies are not known yet: nobody answers');
    away = false;
    await clock.advance(1500);
    expect([policies.ready.ok, allowed()]).to.deep.equal([true, true]);
  });

  it('refuse everybody until they are read', async () => {
    served = KINDS;
    cluster.listError = new Error('too busy');
    allowFront();
    await open();
    expect([policies.ready.ok, allowed()]).to.deep.equal([false, false]);
    expect(policies.ready.reason).to.contain('too busy');
    cluster.listError = undefined;
    await clock.advance(60_000);
    expect([policies.ready.ok, allowed()]).to.deep.equal([true, true]);
  });

  it('hold within a minute of being installed', async () => {
    await open();
    served = KINDS;
    await clock.advance(40_000);
    expect([policies.ready.ok, allowed()]).to.deep.equal([true, false]);
    allowFront();
    await settle(10);
    expect(allowed()).to.equal(true);
  });

  it('that are installed while traffic flows and cannot be read refuse everybody at the next look', async () => {
    await open();
    served = KINDS;
    cluster.listError = new Error('forbidden');
    await clock.advance(20_000);
    expect(allowed()).to.equal(true);
    await clock.advance(20_000);
    expect([policies.ready.ok, allowed()]).to.deep.equal([false, false]);
  });

  // A tenant wrote a slice that named payments' database, exported its own Service, and the gateway asked the
  // rules of the tenant's namespace only.
  it('are those of the namespace that a pod is in, whoever has named its address in a slice', async () => {
    served = KINDS;
    await open();
    const asTenant = () => policies.verdict(spec, 'tenant', CLIENT).allowed;
    await clock.advance(1000);
    const told: (string | undefined)[] = [];
    policies.subscribe((namespace) => void told.push(namespace));
    expect(asTenant()).to.equal(false);
    allowFront();
    await clock.advance(1000);
    expect(asTenant()).to.equal(true);
    expect(told).to.include('tenant');
    cluster.remove('authorizationpolicies', 'demo', 'all');
    await clock.advance(1000);
    expect(asTenant()).to.equal(false);
  });

  it('hold as soon as it is known whose the address is that a slice has named', async () => {
    served = KINDS;
    await open();
    const later = { ...spec, endpoints: [{ host: '10.0.0.9', port: 8080, ready: true }] };
    const asTenant = () => policies.verdict(later, 'tenant', CLIENT).allowed;
    expect(asTenant()).to.equal(true);
    await clock.advance(1000);
    const told: (string | undefined)[] = [];
    policies.subscribe((namespace) => void told.push(namespace));
    cluster.put('pods', object('db', { status: { podIPs: [{ ip: '10.0.0.9' }] } }, { app: 'web' }));
    await clock.advance(1000);
    expect(asTenant()).to.equal(false);
    expect(told).to.include('tenant');
  });

  it('are gone when two looks do not find them, not one', async () => {
    served = KINDS;
    await open();
    expect(allowed()).to.equal(false);
    served = [];
    await clock.advance(20_000);
    expect(allowed()).to.equal(false);
    await clock.advance(20_000);
    expect([policies.ready.ok, allowed()]).to.deep.equal([true, true]);
    expect(cluster.watches).to.deep.equal([]);
  });

  it('hold as last known while nobody answers, which the reason says', async () => {
    served = KINDS;
    allowFront();
    await open();
    away = true;
    cluster.listError = new Error('nobody answers');
    cluster.compact();
    cluster.cutWatches();
    await clock.advance(300_000);
    expect([policies.ready.ok, allowed()]).to.deep.equal([true, true]);
    expect(policies.ready.reason).to.match(/ as last known: nobody answers$/);
  });

  it('tell of changes half a second later, once, and whom they concern', async () => {
    served = KINDS;
    await open();
    await clock.advance(1000);
    await clock.advance(1000);
    const told: (string | undefined)[] = [];
    policies.subscribe((namespace) => told.push(namespace));
    const before = policies.version('demo');
    allowFront();
    cluster.remove('servers', 'demo', 'web');
    await settle(10);
    expect(policies.version('demo')).to.be.greaterThan(before);
    expect(told).to.deep.equal([]);
    await clock.advance(500);
    expect(told).to.deep.equal(['demo']);
    cluster.put('networkauthentications', { metadata: { name: 'home', namespace: 'shop' } });
    await settle(10);
    await clock.advance(500);
    expect(told).to.deep.equal(['demo', undefined]);
  });

  it('tell nothing of pods in which nothing has changed that they look at', async () => {
    served = KINDS;
    await open();
    const before = policies.version('demo');
    cluster.put(
      'pods',
      object('web', { status: { podIPs: [{ ip: '10.0.0.1' }], message: 'restarted' } }, { app: 'web' }),
    );
    await settle(10);
    expect(policies.version('demo')).to.equal(before);
  });
});
