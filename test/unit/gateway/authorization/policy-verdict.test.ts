import { expect } from 'chai';
import fc from 'fast-check';
import type {
  AuthorizationPolicy,
  MeshTlsAuthentication,
  NetworkAuthentication,
  Server,
  ServerAuthorization,
} from '../../../../src/api/linkerd/linkerd-kinds.ts';
import {
  gatewayRules,
  type PolicyFacts,
  rulesFor,
} from '../../../../src/gateway/authorization/policy-rules.ts';
import { policyVerdict, type PolicySetting } from '../../../../src/gateway/authorization/policy-verdict.ts';
import {
  storedPolicyPod,
  type Workload,
  workloadOfPod,
} from '../../../../src/gateway/authorization/workload.ts';

interface Cluster {
  servers: Server[];
  policies: AuthorizationPolicy[];
  serverAuthorizations: ServerAuthorization[];
  meshTls: MeshTlsAuthentication[];
  networks: NetworkAuthentication[];
  /** By namespace and address. */
  workloads: Record<string, Workload[]>;
  pods: Record<string, Workload>;
}

const empty = (): Cluster => ({
  servers: [],
  policies: [],
  serverAuthorizations: [],
  meshTls: [],
  networks: [],
  workloads: { 'demo/10.0.0.1': [pod({ app: 'web' }, { http: [8080] })] },
  pods: {},
});

function factsOf(cluster: Cluster): PolicyFacts {
  type Named = { metadata?: { namespace?: string; name?: string } };
  const inside = <T extends Named>(all: readonly T[], namespace: string) =>
    all.filter(({ metadata }) => metadata?.namespace === namespace);
  const one = <T extends Named>(all: readonly T[], namespace: string, name: string) =>
    inside(all, namespace).find(({ metadata }) => metadata?.name === name);
  return {
    servers: (namespace) => inside(cluster.servers, namespace),
    authorizationPolicies: (namespace) => inside(cluster.policies, namespace),
    serverAuthorizations: (namespace) => inside(cluster.serverAuthorizations, namespace),
    rateLimits: () => [],
    meshTlsAuthentication: (namespace, name) => one(cluster.meshTls, namespace, name),
    networkAuthentication: (namespace, name) => one(cluster.networks, namespace, name),
    workloadsAt: (address) =>
      Object.entries(cluster.workloads).flatMap(([key, found]) => {
        const [namespace = '', at] = key.split('/');
        return at === address ? found.map((workload) => ({ ...workload, namespace })) : [];
      }),
    pod: (namespace, name) => cluster.pods[`${namespace}/${name}`],
  };
}

function pod(
  labels: Record<string, string>,
  ports: Record<string, number[]> = {},
  defaultPolicy?: string,
): Workload {
  return { kind: 'Pod', namespace: 'demo', labels, ports: new Map(Object.entries(ports)), defaultPolicy };
}

const at = (name: string, namespace = 'demo') => ({ metadata: { name, namespace } });
const server = (name: string, spec: Server['spec'] = {}): Server => ({
  ...at(name),
  spec: { podSelector: { matchLabels: { app: 'web' } }, port: 8080, ...spec },
});
const meshRef = (name: string) => ({ group: 'policy.linkerd.io', kind: 'MeshTLSAuthentication', name });
const networkRef = (name: string) => ({ group: 'policy.linkerd.io', kind: 'NetworkAuthentication', name });
const policy = (
  name: string,
  target: string,
  refs: NonNullable<AuthorizationPolicy['spec']>['requiredAuthenticationRefs'],
): AuthorizationPolicy => ({
  ...at(name),
  spec: {
    targetRef: { group: 'policy.linkerd.io', kind: 'Server', name: target },
    requiredAuthenticationRefs: refs ?? [],
  },
});
const mesh = (name: string, ...identities: string[]): MeshTlsAuthentication => ({
  ...at(name),
  spec: { identities },
});

const FRONT = 'front.shop.serviceaccount.identity.linkerd.cluster.local';
const OTHER = 'other.shop.serviceaccount.identity.linkerd.cluster.local';
const setting: PolicySetting = {
  controlNamespace: 'linkerd',
  trustDomain: 'cluster.local',
  clusterNetworks: ['10.0.0.0/8'],
};
const endpoints = [{ host: '10.0.0.1', port: 8080 }];

const judge = (change: Partial<Cluster>, identity = FRONT, address = '10.9.9.9', to = endpoints) => {
  const facts = factsOf({ ...empty(), ...change });
  const rules = rulesFor(facts, { namespace: 'demo', endpoints: to });
  return policyVerdict(facts, rules, { identity, address }, setting);
};
const allows = (...question: Parameters<typeof judge>) => judge(...question).allowed;

describe('policies of a target', () => {
  const guarded = {
    servers: [server('web')],
    policies: [policy('only-front', 'web', [meshRef('front')])],
    meshTls: [mesh('front', FRONT)],
  };

  it('do not restrict pods that no Server selects', () => {
    expect(judge({})).to.deep.equal({ allowed: true, policy: '', reason: '' });
    expect(allows({ servers: [server('web', { port: 9090 })] })).to.equal(true);
    expect(allows({ servers: [server('web', { podSelector: { matchLabels: { app: 'api' } } })] })).to.equal(
      true,
    );
    expect(allows({ servers: [{ ...server('web'), ...at('web', 'elsewhere') }] })).to.equal(true);
  });

  it("are the owner's where a Service of another namespace leads to its pods", () => {
    const cluster = { ...empty(), servers: [server('web')] };
    const facts = factsOf(cluster);
    const rules = (namespace: string) =>
      rulesFor(facts, { namespace, endpoints: [{ host: '10.0.0.1', port: 8080 }] }).length;
    expect([rules('demo'), rules('tenant')]).to.deep.equal([1, 1]);
  });

  it('let in nobody where a Server has no policy', () => {
    expect(judge({ servers: [server('web')] })).to.deep.equal({
      allowed: false,
      policy: 'policy.linkerd.io/server/web',
      reason: `Server demo/web has no policy that allows client ${FRONT} from 10.9.9.9`,
    });
  });

  it('let in whom an AuthorizationPolicy names, and say which', () => {
    expect(judge(guarded)).to.deep.equal({
      allowed: true,
      policy: 'policy.linkerd.io/authorizationpolicy/only-front',
      reason: '',
    });
    expect(judge(guarded, OTHER).reason).to.equal(
      `AuthorizationPolicy demo/only-front does not allow client ${OTHER} from 10.9.9.9`,
    );
  });

  it('say how many policies did not let a client in', () => {
    const { policies } = guarded;
    const two = { ...guarded, policies: [...policies, policy('second', 'web', [meshRef('front')])] };
    expect(judge(two, OTHER).reason).to.match(/^none of the 2 policies of Server demo\/web allows client/);
  });

  it('select by the name of a port, whatever its number in a pod is', () => {
    const named = { ...guarded, servers: [server('web', { port: 'http' })] };
    expect(allows(named, OTHER)).to.equal(false);
    expect(
      allows({ ...named, workloads: { 'demo/10.0.0.1': [pod({ app: 'web' }, { http: [80] })] } }, OTHER),
    ).to.equal(true);
  });

  it('select by expressions', () => {
    const by = (key: string, operator: string, values?: string[]) => ({
      servers: [
        server('web', {
          podSelector: { matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }] },
        }),
      ],
    });
    expect(allows(by('app', 'In', ['web', 'api']))).to.equal(false);
    expect(allows(by('app', 'In', ['api']))).to.equal(true);
    expect(allows(by('app', 'NotIn', ['api']))).to.equal(false);
    expect(allows(by('app', 'NotIn', ['web']))).to.equal(true);
    expect(allows(by('app', 'Exists'))).to.equal(false);
    expect(allows(by('tier', 'Exists'))).to.equal(true);
    expect(allows(by('tier', 'DoesNotExist'))).to.equal(false);
    expect(allows({ servers: [server('all', { podSelector: {} })] })).to.equal(false);
  });

  it('have to allow at every endpoint: the strictest wins', () => {
    const canary = {
      ...guarded,
      servers: [server('web'), server('canary', { podSelector: { matchLabels: { app: 'canary' } } })],
      workloads: {
        'demo/10.0.0.1': [pod({ app: 'web' })],
        'demo/10.0.0.2': [pod({ app: 'canary' })],
      },
    };
    const both = [...endpoints, { host: '10.0.0.2', port: 8080 }];
    expect(allows(canary)).to.equal(true);
    expect(judge(canary, FRONT, '10.9.9.9', both).reason).to.match(/^Server demo\/canary has no policy/);
  });

  it('count all that could be meant while no pod is known at the addresses', () => {
    const unknown = [{ host: '10.0.0.7', port: 8080 }];
    expect(allows({ servers: [server('web')] }, FRONT, '', unknown)).to.equal(false);
    expect(allows({ servers: [server('web', { port: 'http' })] }, FRONT, '', unknown)).to.equal(false);
    expect(allows({ servers: [server('web', { port: 9090 })] }, FRONT, '', unknown)).to.equal(true);
  });

  it('select ExternalWorkloads apart from pods', () => {
    const machine = { ...pod({ app: 'web' }), kind: 'ExternalWorkload' as const };
    const workloads = { 'demo/10.0.0.1': [machine] };
    expect(allows({ servers: [server('web')], workloads })).to.equal(true);
    const external: Server = { ...at('vm'), spec: { externalWorkloadSelector: {}, port: 8080 } };
    expect(allows({ servers: [external], workloads })).to.equal(false);
  });

  it('want every authentication of a policy', () => {
    const both = {
      ...guarded,
      policies: [policy('front-at-home', 'web', [meshRef('front'), networkRef('home')])],
      networks: [{ ...at('home'), spec: { networks: [{ cidr: '10.0.0.0/8', except: ['10.6.6.0/24'] }] } }],
    };
    expect(allows(both, FRONT, '10.9.9.9')).to.equal(true);
    expect(allows(both, FRONT, '192.0.2.1')).to.equal(false);
    expect(allows(both, FRONT, '10.6.6.6')).to.equal(false);
    expect(allows(both, OTHER, '10.9.9.9')).to.equal(false);
  });

  it('take no authentication for everybody, and one that does not exist or is not understood for nobody', () => {
    const by = (...refs: object[]) => allows({ ...guarded, policies: [policy('p', 'web', refs)] });
    expect(by()).to.equal(true);
    expect(by(meshRef('gone'))).to.equal(false);
    expect(by(networkRef('gone'))).to.equal(false);
    expect(by({ group: 'policy.linkerd.io', kind: 'OidcAuthentication', name: 'x' })).to.equal(false);
    expect(by({ ...meshRef('front'), namespace: 'elsewhere' })).to.equal(false);
    expect(by({ group: 'POLICY.linkerd.io', kind: 'meshtlsauthentication', name: 'front' })).to.equal(true);
  });

  it('know service accounts and namespaces of this cluster by their identity', () => {
    const by = (...identityRefs: object[]) =>
      allows({ ...guarded, meshTls: [{ ...at('front'), spec: { identityRefs } }] });
    expect(by({ kind: 'ServiceAccount', name: 'front', namespace: 'shop' })).to.equal(true);
    expect(by({ kind: 'ServiceAccount', name: 'front' })).to.equal(false);
    expect(by({ kind: 'Namespace', name: 'shop' })).to.equal(true);
    expect(by({ kind: 'Namespace', name: 'hop' })).to.equal(false);
    expect(by({ kind: 'Namespace', name: 'shop' }, { kind: 'User', name: 'x' })).to.equal(false);
    const direct = policy('p', 'web', [{ kind: 'ServiceAccount', name: 'front', namespace: 'shop' }]);
    expect(allows({ ...guarded, policies: [direct] })).to.equal(true);
    expect(allows({ ...guarded, policies: [direct] }, OTHER)).to.equal(false);
  });

  it('for a namespace count for each Server of it, and for no other namespace', () => {
    const of = (name: string): AuthorizationPolicy => ({
      ...at('ns'),
      spec: { targetRef: { kind: 'Namespace', name }, requiredAuthenticationRefs: [] },
    });
    expect(allows({ servers: [server('web')], policies: [of('demo')] })).to.equal(true);
    expect(allows({ servers: [server('web')], policies: [of('shop')] })).to.equal(false);
  });

  it('of a route only do not open the Server', () => {
    const route: AuthorizationPolicy = {
      ...at('route'),
      spec: {
        targetRef: { group: 'policy.linkerd.io', kind: 'HTTPRoute', name: 'web' },
        requiredAuthenticationRefs: [],
      },
    };
    expect(allows({ servers: [server('web')], policies: [route] })).to.equal(false);
  });

  it('may be ServerAuthorizations', () => {
    const by = (spec: ServerAuthorization['spec'], identity = FRONT, address = '10.9.9.9') => {
      const labelled = { ...server('web'), metadata: { ...at('web').metadata, labels: { tier: 'front' } } };
      return allows(
        { servers: [labelled], serverAuthorizations: [{ ...at('saz'), spec: spec ?? {} }] },
        identity,
        address,
      );
    };
    const to = { name: 'web' };
    expect(by({ server: to, client: { meshTLS: { identities: [FRONT] } } })).to.equal(true);
    expect(by({ server: to, client: { meshTLS: { identities: [FRONT] } } }, OTHER)).to.equal(false);
    expect(
      by(
        {
          server: to,
          client: { meshTLS: { identities: ['*.shop.serviceaccount.identity.linkerd.cluster.local'] } },
        },
        OTHER,
      ),
    ).to.equal(true);
    expect(
      by({ server: to, client: { meshTLS: { serviceAccounts: [{ name: 'front', namespace: 'shop' }] } } }),
    ).to.equal(true);
    expect(by({ server: to, client: { meshTLS: { unauthenticatedTLS: true } } })).to.equal(true);
    expect(by({ server: to, client: { unauthenticated: true } })).to.equal(true);
    expect(by({ server: to, client: {} })).to.equal(false);
    expect(
      by({ server: to, client: { unauthenticated: true, networks: [{ cidr: '10.0.0.0/8' }] } }),
    ).to.equal(true);
    expect(
      by(
        { server: to, client: { unauthenticated: true, networks: [{ cidr: '10.0.0.0/8' }] } },
        FRONT,
        '192.0.2.1',
      ),
    ).to.equal(false);
    expect(
      by({ server: { selector: { matchLabels: { tier: 'front' } } }, client: { unauthenticated: true } }),
    ).to.equal(true);
    expect(
      by({ server: { selector: { matchLabels: { tier: 'back' } } }, client: { unauthenticated: true } }),
    ).to.equal(false);
    expect(by({ server: {}, client: { unauthenticated: true } })).to.equal(false);
  });

  const access: readonly [string, boolean, boolean][] = [
    ['deny', false, false],
    ['all-authenticated', true, true],
    ['all-unauthenticated', true, true],
    ['cluster-authenticated', true, false],
    ['cluster-unauthenticated', true, false],
    ['audit', true, true],
    ['Deny', false, false],
  ];
  for (const [name, inside, outside] of access) {
    it(`${name}, by a Server or by a pod, lets in ${inside ? 'clients with addresses of the cluster' : 'nobody'}${outside ? ' and others' : ''}`, () => {
      const byServer = { servers: [server('web', { accessPolicy: name })] };
      const byPod = { workloads: { 'demo/10.0.0.1': [pod({ app: 'web' }, {}, name)] } };
      for (const change of [byServer, byPod]) {
        expect(allows(change, FRONT, '10.9.9.9')).to.equal(inside);
        expect(allows(change, FRONT, '192.0.2.1')).to.equal(outside);
      }
      if (inside) expect(judge(byPod).policy).to.equal(`/default/${name}`);
    });
  }

  it('of a pod that ask for nothing in particular do not count where a Server selects it', () => {
    const workloads = { 'demo/10.0.0.1': [pod({ app: 'web' }, {}, 'deny')] };
    expect(allows({ ...guarded, workloads })).to.equal(true);
  });
});

describe('policies of the gateway itself', () => {
  const own = { namespace: 'mc', name: 'gw-1', port: 4143 };
  const gateway: Server = {
    ...at('linkerd-gateway', 'mc'),
    spec: { podSelector: { matchLabels: { app: 'linkerd-gateway' } }, port: 'linkerd-proxy' },
  };
  const rules = (pods: Cluster['pods'], ...servers: Server[]) =>
    gatewayRules(factsOf({ ...empty(), servers, pods }), own).map((rule) =>
      rule.kind === 'server' ? rule.server.metadata?.name : rule.policy,
    );
  const pods = {
    'mc/gw-1': pod(
      { app: 'linkerd-gateway' },
      { 'mc-gateway': [4143], 'mc-probe': [4191] },
      'all-authenticated',
    ),
  };

  it("are those of the Server that Linkerd's chart installs, though our port has another name", () => {
    expect(rules(pods, gateway)).to.deep.equal(['linkerd-gateway']);
  });

  it('are the default policy of the pod where no Server selects it', () => {
    expect(rules(pods)).to.deep.equal(['all-authenticated']);
    const admin = { ...gateway, spec: { ...gateway.spec, port: 'mc-probe' } };
    expect(rules(pods, admin)).to.deep.equal(['all-authenticated']);
  });

  it('are all that could be meant while the own pod is not known', () => {
    const other = { ...gateway, ...at('admin', 'mc'), spec: { ...gateway.spec, port: 'linkerd-admin' } };
    const number = { ...gateway, ...at('number', 'mc'), spec: { ...gateway.spec, port: 4143 } };
    expect(rules({}, gateway, other, number)).to.deep.equal(['linkerd-gateway', 'number']);
  });
});

describe('what is kept of a pod', () => {
  it('is what policies look at', () => {
    const stored = storedPolicyPod({
      metadata: {
        name: 'a',
        namespace: 'demo',
        labels: { app: 'web' },
        annotations: { 'config.linkerd.io/default-inbound-policy': 'deny', note: 'x' },
      },
      spec: {
        containers: [
          {
            name: 'c',
            ports: [
              { name: 'http', containerPort: 80 },
              { name: 'dns', containerPort: 53, protocol: 'UDP' },
            ],
          },
        ],
        initContainers: [{ name: 'proxy', ports: [{ name: 'admin', containerPort: 4191 }] }],
      },
      status: { podIP: '10.0.0.1' },
    });
    expect(stored?.metadata?.annotations).to.have.all.keys('config.linkerd.io/default-inbound-policy');
    expect(workloadOfPod(stored ?? {})).to.deep.equal(
      pod({ app: 'web' }, { http: [80], admin: [4191] }, 'deny'),
    );
  });

  it('is nothing once it has ended, or before it has an address', () => {
    const status = { podIP: '10.0.0.1' };
    expect(storedPolicyPod({ status: { ...status, phase: 'Succeeded' } })).to.equal(undefined);
    expect(storedPolicyPod({ status: { ...status, phase: 'Failed' } })).to.equal(undefined);
    expect(storedPolicyPod({ status: {} })).to.equal(undefined);
  });
});

describe('policies, whatever they are', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const anyServer = fc
    .record({
      name,
      port: fc.constantFrom<number | string>(8080, 'http', 9090),
      app: fc.constantFrom('web', 'api'),
      access: fc.constantFrom(undefined, 'deny', 'cluster-authenticated'),
    })
    .map(({ name, port, app, access }) =>
      server(name, {
        port,
        podSelector: { matchLabels: { app } },
        ...(access === undefined ? {} : { accessPolicy: access }),
      }),
    );
  const anyRef = fc.oneof(
    name.map(meshRef),
    name.map(networkRef),
    fc.constant({ kind: 'ServiceAccount', name: 'front', namespace: 'shop' }),
  );
  const anyPolicy = fc
    .tuple(name, name, fc.array(anyRef, { maxLength: 2 }))
    .map(([own, target, refs]) => policy(own, target, refs));
  const anyMesh = fc
    .tuple(name, fc.uniqueArray(fc.constantFrom(FRONT, OTHER, '*'), { maxLength: 2 }))
    .map(([own, ids]) => mesh(own, ...ids));
  const anyNetwork = fc
    .tuple(name, fc.constantFrom('10.0.0.0/8', '192.0.2.0/24'))
    .map(([own, cidr]) => ({ ...at(own), spec: { networks: [{ cidr }] } }));
  const anyAuthorization = fc.tuple(name, name, fc.boolean()).map(
    ([own, target, everybody]): ServerAuthorization => ({
      ...at(own),
      spec: {
        server: { name: target },
        client: everybody ? { unauthenticated: true } : { meshTLS: { identities: [FRONT] } },
      },
    }),
  );
  const unique = <T extends { metadata?: { name?: string } }>(one: fc.Arbitrary<T>) =>
    fc.uniqueArray(one, { maxLength: 3, selector: ({ metadata }) => metadata?.name });
  const workloads = fc.constantFrom<Cluster['workloads']>(
    {},
    { 'demo/10.0.0.1': [pod({ app: 'web' }, { http: [8080] })] },
    { 'demo/10.0.0.1': [pod({ app: 'api' }, { http: [8080] }, 'cluster-authenticated')] },
  );
  const anyCluster: fc.Arbitrary<Cluster> = fc.record({
    servers: unique(anyServer),
    policies: unique(anyPolicy),
    serverAuthorizations: unique(anyAuthorization),
    meshTls: unique(anyMesh),
    networks: unique(anyNetwork),
    workloads,
    pods: fc.constant({}),
  });
  const anyClient = fc.tuple(
    fc.constantFrom(FRONT, OTHER),
    fc.constantFrom('10.1.1.1', '192.0.2.1', '198.51.100.1'),
  );
  const GRANTS = ['policies', 'serverAuthorizations', 'meshTls', 'networks'] as const;

  it('never allow more when something that allows is taken away', () => {
    fc.assert(
      fc.property(
        anyCluster,
        anyClient,
        fc.constantFrom(...GRANTS),
        fc.nat(2),
        (cluster, client, kind, which) => {
          const less = { ...cluster, [kind]: cluster[kind].filter((_, index) => index !== which) };
          if (allows(less, ...client)) expect(allows(cluster, ...client)).to.equal(true);
        },
      ),
    );
  });

  it('never allow more when a Server without policies comes', () => {
    fc.assert(
      fc.property(anyCluster, anyClient, anyServer, (cluster, client, added) => {
        const spec = { ...added.spec };
        delete spec.accessPolicy;
        const alone = { ...cluster, servers: [...cluster.servers, { ...added, ...at('alone'), spec }] };
        // A pod's default policy gives way to a Server, as in Linkerd; this one lets in nobody.
        if (allows(alone, ...client)) expect(allows(cluster, ...client)).to.equal(true);
      }),
    );
  });

  it('come to the same in whatever order they are', () => {
    const shuffled = anyCluster.chain((cluster) =>
      fc.record({
        cluster: fc.constant(cluster),
        servers: fc.shuffledSubarray(cluster.servers, { minLength: cluster.servers.length }),
        policies: fc.shuffledSubarray(cluster.policies, { minLength: cluster.policies.length }),
        serverAuthorizations: fc.shuffledSubarray(cluster.serverAuthorizations, {
          minLength: cluster.serverAuthorizations.length,
        }),
      }),
    );
    fc.assert(
      fc.property(shuffled, anyClient, ({ cluster, ...order }, client) => {
        expect(judge({ ...cluster, ...order }, ...client)).to.deep.equal(judge(cluster, ...client));
      }),
    );
  });
});
