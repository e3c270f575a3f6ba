import fc from 'fast-check';
import type {
  AuthorizationPolicy,
  ExternalWorkload,
  MeshTlsAuthentication,
  NetworkAuthentication,
  HttpLocalRateLimitPolicy,
  Server,
  ServerAuthorization,
} from '../../../../src/api/linkerd/linkerd-kinds.ts';
import { limitsOf } from '../../../../src/gateway/authorization/policy-rate-limits.ts';
import {
  gatewayRules,
  type PolicyFacts,
  rulesFor,
} from '../../../../src/gateway/authorization/policy-rules.ts';
import { policyVerdict } from '../../../../src/gateway/authorization/policy-verdict.ts';
import {
  externalAddresses,
  storedPolicyPod,
  workloadOfExternal,
  workloadOfPod,
} from '../../../../src/gateway/authorization/workload.ts';
import { anyText } from '../../../support/any-text.ts';
import { expectLinear } from '../../../support/linear-time.ts';
import { WORST_TEXTS } from '../../../support/worst-text.ts';

/** As many as a run in CI bears; `LINKSPAN_FUZZ=20` runs twenty times as many. */
const RUNS = 100 * Number(process.env['LINKSPAN_FUZZ'] ?? '1');

const SETTING = {
  controlNamespace: 'linkerd',
  trustDomain: 'cluster.local',
  clusterNetworks: ['10.0.0.0/8'],
};
const HOST = '10.0.0.1';

/**
 * Texts for one place after the other, and whether what is optional is there: as the schemas of the kinds let
 * a tenant write.
 */
interface Writer {
  text(): string;
  has(): boolean;
}

const maybe = <T>(writer: Writer, value: T): T | undefined => (writer.has() ? value : undefined);

/** Reads policies, and what they select, with these texts in each place that a text can stand in. */
function readPolicies(writer: Writer): void {
  const text = () => writer.text();
  const metadata = () => ({ name: text(), namespace: 'demo', labels: { [text()]: text() } });
  const reference = (kind: string) => ({
    group: writer.has() ? 'policy.linkerd.io' : text(),
    kind: writer.has() ? kind : text(),
    name: writer.has() ? 'one' : text(),
    ...(writer.has() ? { namespace: text() } : {}),
  });
  const account = () => ({ group: '', kind: 'ServiceAccount', name: text(), namespace: text() });
  const selector = () => ({
    ...(writer.has() ? { matchLabels: { [text()]: text() } } : {}),
    matchExpressions: [{ key: text(), operator: writer.has() ? 'NotIn' : text(), values: [text()] }],
  });
  const networks = () => [{ cidr: text(), except: [text(), text()] }, ...(writer.has() ? [{}] : [])];
  const server = {
    metadata: { ...metadata(), name: 'one' },
    spec: {
      podSelector: maybe(writer, {}) ?? selector(),
      port: writer.has() ? 80 : text(),
      accessPolicy: text(),
    },
  } as Server;
  const policy: AuthorizationPolicy = {
    metadata: metadata(),
    spec: {
      targetRef: reference('Server'),
      requiredAuthenticationRefs: [
        reference('NetworkAuthentication'),
        reference('MeshTLSAuthentication'),
        account(),
      ],
    },
  };
  const meshTls: MeshTlsAuthentication = {
    spec: {
      identities: [text(), `*.${text()}`],
      identityRefs: [account(), { kind: 'Namespace', name: text() }],
    },
  };
  const network: NetworkAuthentication = { spec: { networks: networks() } };
  const older: ServerAuthorization = {
    metadata: metadata(),
    spec: {
      server: writer.has() ? { name: 'one' } : { selector: selector() },
      client: {
        ...(writer.has() ? { networks: networks() } : {}),
        meshTLS: { identities: [text()], serviceAccounts: [{ name: text(), namespace: text() }] },
      },
    },
  };
  const limit: HttpLocalRateLimitPolicy = {
    metadata: metadata(),
    spec: {
      targetRef: { group: 'policy.linkerd.io', kind: 'Server', name: 'one' },
      total: { requestsPerSecond: 1 },
      overrides: [{ requestsPerSecond: 1, clientRefs: [account(), reference('ServiceAccount')] }],
    },
  };
  const external: ExternalWorkload = {
    metadata: metadata(),
    spec: { ports: [{ name: text(), port: 80, protocol: text() }], workloadIPs: [{ ip: text() }] },
  };
  const pod = storedPolicyPod({
    metadata: { ...metadata(), annotations: { 'config.linkerd.io/default-inbound-policy': text() } },
    spec: { containers: [{ name: 'a', ports: [{ name: text(), containerPort: 80, protocol: text() }] }] },
    status: { podIP: HOST },
  });
  const workloads = [...(pod === undefined ? [] : [workloadOfPod(pod)]), workloadOfExternal(external)];
  const facts: PolicyFacts = {
    servers: () => [server],
    authorizationPolicies: () => [policy],
    serverAuthorizations: () => [older],
    meshTlsAuthentication: () => meshTls,
    networkAuthentication: () => network,
    rateLimits: () => [limit],
    workloadsAt: () => (writer.has() ? workloads : []),
    pod: () => maybe(writer, workloads[0]),
  };
  externalAddresses(external);
  const rules = [
    ...gatewayRules(facts, { namespace: 'demo', name: 'gateway', port: 80 }),
    ...rulesFor(facts, { namespace: 'demo', endpoints: [{ host: HOST, port: 80 }] }),
  ];
  const client = { identity: 'web.demo.serviceaccount.identity.linkerd.cluster.local', address: HOST };
  // Each rule on its own: one that refuses keeps the next from being looked at.
  for (const rule of rules) policyVerdict(facts, [rule], client, SETTING);
  limitsOf(facts, rules, SETTING);
}

// Any tenant who may write policies of a namespace writes what every gateway of the cluster reads at each
// request.
describe('text in policies and in what they select', () => {
  it('is read in time that is in proportion to its length', () => {
    for (const make of WORST_TEXTS)
      for (const there of [true, false])
        expectLinear((length) => readPolicies({ text: () => make(length), has: () => there }), make(20));
  });

  it('allows or refuses, whatever it is', () => {
    const text = fc.oneof(
      anyText(20),
      fc.constantFrom(
        '*',
        '*.',
        '10.0.0.0/8',
        '10.0.0.0/',
        '/33',
        '::/0',
        '0',
        '__proto__',
        'constructor',
        'one',
        '',
      ),
    );
    fc.assert(
      fc.property(
        fc.array(text, { minLength: 1 }),
        fc.array(fc.boolean(), { minLength: 1 }),
        (texts, flags) => {
          let [nth, which] = [0, 0];
          readPolicies({
            text: () => texts[nth++ % texts.length] ?? '',
            has: () => flags[which++ % flags.length] ?? false,
          });
        },
      ),
      { numRuns: RUNS },
    );
  });
});
