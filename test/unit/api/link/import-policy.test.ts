import { expect } from 'chai';
import type { V1Service } from '@kubernetes/client-node';
import {
  decideGateway,
  gatewaysToAllow,
  readNamedGateways,
} from '../../../../src/linking/export-gateways.ts';
import { DEFAULT_QUOTAS, NamePatterns, parseImportPolicy } from '../../../../src/api/link/import-policy.ts';
import { parseLink } from '../../../../src/api/link/link-schema.ts';
import { FakeCluster } from '../../../support/fake-cluster.ts';
import { expectUnnoticed } from '../../../support/linear-time.ts';
import { services } from '../../../../src/api/kubernetes/resource.ts';

const gateways = (...list: object[]) => ({ 'linkspan.dev/import-gateways': JSON.stringify(list) });
const door = { addresses: ['10.1.1.1', 'lb.example.com'], port: 5143, identity: 'side.door' };

function link(annotations: Record<string, string> = {}, spec: object = {}) {
  return parseLink({
    metadata: { name: 'west', namespace: 'links', annotations },
    spec: {
      targetClusterName: 'west',
      clusterCredentialsSecret: 'x',
      gatewayAddress: '10.0.0.1,gw.example.com',
      gatewayPort: '4143',
      gatewayIdentity: 'gw',
      ...spec,
    },
  });
}

function linkOk(annotations: Record<string, string> = {}) {
  const verdict = link(annotations);
  if (!verdict.ok) throw new Error(JSON.stringify(verdict.problems));
  return verdict.link;
}

describe('the import policy of a Link', () => {
  it('is, without annotations, what Linkerd takes', () => {
    const { imports } = linkOk();
    expect(imports).to.include({ namespaces: undefined, names: undefined, podCidrs: undefined });
    expect(imports.quotas).to.deep.equal(DEFAULT_QUOTAS);
    expect(imports.gateways).to.deep.equal([]);
  });

  it('reads every annotation', () => {
    const { imports } = linkOk({
      'linkspan.dev/import-namespaces': 'shop, team-*',
      'linkspan.dev/import-names': 'web,shop/api-*',
      'linkspan.dev/import-labels': 'team,app.kubernetes.io/*',
      'linkspan.dev/import-annotations': '',
      'linkspan.dev/import-pod-cidrs': '10.20.0.0/16, fd00:20::/64',
      'linkspan.dev/import-gateway-cidrs': '10.96.7.7',
      'linkspan.dev/import-quotas': 'mirrors=5,egress-ports=0',
      ...gateways(door),
    });
    expect(imports.namespaces?.matches('team-blue')).to.equal(true);
    expect(imports.namespaces?.matches('prod')).to.equal(false);
    expect(imports.names?.matches('shop/api-v2')).to.equal(true);
    expect(imports.label?.('app.kubernetes.io/name')).to.equal(true);
    // An empty list is a list: nothing is copied.
    expect(imports.annotation?.('note')).to.equal(false);
    expect(imports.podCidrs?.find('10.20.3.4')).to.equal('10.20.0.0/16');
    expect(imports.gatewayCidrs.find('10.96.7.7')).to.equal('10.96.7.7');
    expect(imports.quotas).to.deep.equal({ ...DEFAULT_QUOTAS, mirrors: 5, egressPorts: 0 });
    expect(imports.gateways).to.deep.equal([door]);
  });

  // What cannot be read must not mean what nothing said would mean: everything.
  const wrong: readonly (readonly [string, Record<string, string>, RegExp])[] = [
    [
      'a slip in the name',
      { 'linkspan.dev/import-namespace': 'shop' },
      /did you mean "linkspan.dev\/import-namespaces"/,
    ],
    ['a setting that there is not', { 'linkspan.dev/import-everything-else': '' }, /is no setting/],
    ['no pattern', { 'linkspan.dev/import-namespaces': 'Shop' }, /"Shop" is no name/],
    ['a namespace with a slash', { 'linkspan.dev/import-namespaces': 'a/b' }, /"a\/b" is no name/],
    ['no range', { 'linkspan.dev/import-pod-cidrs': '10.0.0.0/99' }, /"10.0.0.0\/99" is no range/],
    ['no quota', { 'linkspan.dev/import-quotas': 'mirror=5' }, /did you mean "mirrors"/],
    ['no number', { 'linkspan.dev/import-quotas': 'mirrors=-1' }, /no whole number/],
    ['no JSON', { 'linkspan.dev/import-gateways': 'x' }, /no JSON/],
    ['no list', { 'linkspan.dev/import-gateways': '{}' }, /array/],
    [
      'a gateway on loopback',
      gateways({ ...door, addresses: ['127.0.0.1'] }),
      /neither a host name nor an address/,
    ],
    ['one in an odd form', gateways({ ...door, addresses: ['127.1'] }), /neither a host name nor an address/],
    ['one without identity', gateways({ addresses: ['10.1.1.1'], port: 1 }), /identity/],
    ['an unknown field', gateways({ ...door, path: '/x' }), /path/i],
    ['endless text', { 'linkspan.dev/import-names': 'a,'.repeat(4000) }, /8000 characters, 4096 are read/],
  ];
  for (const [what, annotations, message] of wrong)
    it(`refuses ${what}: the Link is invalid`, () => {
      const verdict = link(annotations);
      expect(verdict.ok).to.equal(false);
      if (verdict.ok) return;
      const [problem] = verdict.problems;
      expect(problem?.field).to.match(/^metadata\.annotations\[linkspan\.dev\/import-/);
      expect(problem?.problem).to.match(message);
    });

  it('matches patterns in no more than their lengths', () => {
    const patterns = new NamePatterns([`${'*a'.repeat(60)}b`]);
    expect(patterns.matches('a'.repeat(253))).to.equal(false);
    expectUnnoticed(() => patterns.matches('a'.repeat(253)), 'patterns.matches');
    for (const [pattern, name, matches] of [
      ['*', '', true],
      ['a*b', 'ab', true],
      ['a*b', 'a-x-b', true],
      ['a*b', 'a-x-c', false],
      ['*-db', 'prod-db', true],
      ['web', 'web2', false],
      ['**', 'x', true],
    ] as const)
      expect(new NamePatterns([pattern]).matches(name), `${pattern} ${name}`).to.equal(matches);
  });

  for (const address of [
    '127.0.0.1',
    '169.254.169.254',
    '127.1',
    '2130706433',
    '0x7f000001',
    '::1',
    '224.0.0.9',
    '0.0.0.0',
  ])
    it(`takes no Link whose own gateway is at ${address}`, () => {
      expect(link({}, { gatewayAddress: `10.0.0.1,${address}` }).ok).to.equal(false);
    });
});

describe('a gateway that an export names by annotation', () => {
  const probe = { path: '/evil', port: 1, period: '1s' };
  const named = (change: object) => ({
    addresses: ['10.0.0.1'],
    port: 4143,
    identity: 'gw',
    probe,
    ...change,
  });
  const kind = (change: object, annotations: Record<string, string> = {}) =>
    decideGateway('ns/gw', named(change), linkOk(annotations)).kind;

  it("is the Link's own when port, identity and an address agree", () => {
    expect(kind({})).to.equal('link');
    expect(kind({ addresses: ['GW.example.com.', '10.9.9.9'] })).to.equal('link');
    expect(kind({ port: 22 })).to.equal('refused');
    expect(kind({ identity: 'other' })).to.equal('refused');
    expect(kind({ addresses: ['10.0.0.2'] })).to.equal('refused');
  });

  it('may be one of the list, and then has nothing that the list has not', () => {
    const other = { addresses: ['lb.example.com', '127.0.0.1'], port: 5143, identity: 'side.door' };
    const decision = decideGateway('ns/gw', named(other), linkOk(gateways(door)));
    expect(decision).to.deep.equal({ ...door, kind: 'allowed', addresses: ['lb.example.com'] });
    expect(kind({ ...other, port: 5144 }, gateways(door))).to.equal('refused');
    expect(kind({ ...other, identity: 'front.door' }, gateways(door))).to.equal('refused');
    expect(kind({ ...other, addresses: ['10.1.1.2'] }, gateways(door))).to.equal('refused');
  });

  it('is written down as the target has it, without addresses that no other cluster can have', async () => {
    const west = new FakeCluster();
    const put = (name: string, annotations: Record<string, string>, more: object = {}) =>
      west.client.create(services, { metadata: { name, namespace: 'a', annotations }, ...more } as V1Service);
    const gatewayAnnotations = {
      'mirror.linkerd.io/gateway-identity': 'side.door',
      'mirror.linkerd.io/probe-path': '/x',
      'mirror.linkerd.io/probe-period': '3',
    };
    const ports = [
      { name: 'mc-gateway', port: 5143 },
      { name: 'mc-probe', port: 5191 },
    ];
    const ingress = [{ ip: '10.1.1.1' }, { ip: '169.254.169.254' }, { hostname: 'lb.example.com' }];
    await put('gw', gatewayAnnotations, { spec: { ports }, status: { loadBalancer: { ingress } } });
    const names = { 'mirror.linkerd.io/gateway-ns': 'a', 'mirror.linkerd.io/gateway-name': 'gw' };
    for (const name of ['one', 'two']) await put(name, names);
    await put('lost', { ...names, 'mirror.linkerd.io/gateway-name': 'none' });
    await put('plain', {});
    const found = await readNamedGateways(west.client);
    expect(found.map(({ gateway, exports, problem }) => [gateway, exports, problem])).to.deep.equal([
      ['a/gw', 2, undefined],
      ['a/none', 1, 'there is no such Service'],
    ]);
    const allowed = gatewaysToAllow(found, undefined);
    expect(allowed).to.deep.equal([{ ...door, name: 'a/gw', probePort: 5191 }]);
    expect(parseImportPolicy(gateways(...allowed)).problems).to.deep.equal([]);
    // What is the Link's own anyway need not be allowed.
    expect(gatewaysToAllow(found, door)).to.deep.equal([]);
  });
});
