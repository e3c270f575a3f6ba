import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { DEFAULT_EGRESS_RANGE, type EgressPorts } from '../../../src/api/egress/egress-ports.ts';
import { IpRanges } from '../../../src/base/ip-ranges.ts';
import { IndexedStore } from '../../../src/kube/informer/store.ts';
import { DEFAULT_POLICY, NamePatterns } from '../../../src/api/link/import-policy.ts';
import { DropGuard } from '../../../src/controllers/removals/drop-guard.ts';
import { chooseEgressPorts } from '../../../src/controllers/egress-ports/port-choice.ts';
import { decideMember } from '../../../src/controllers/federated/federated-verdict.ts';
import {
  LinkImports,
  TAKES_ALL,
  type LinkImportsOptions,
} from '../../../src/controllers/imports/link-imports.ts';
import { controlNamespaces, importRefusal } from '../../../src/controllers/imports/import-rules.ts';
import { serviceIndexes } from '../../../src/controllers/reconcile/local-indexes.ts';
import { BY_SERVICE, sliceService } from '../../../src/exports/slices-by-service.ts';
import { LocalView } from '../../../src/controllers/reconcile/local-view.ts';
import { NEVER_COPIED_ANNOTATIONS, NEVER_COPIED_GROUPS } from '../../../src/api/mirror/mirror-metadata.ts';
import { plan } from '../../../src/controllers/mirror/mirror-plan.ts';
import { gatewayRefusal, podRefusal } from '../../../src/controllers/imports/remote-addresses.ts';
import { isSteering, STEERING_DOMAINS, STEERING_KEYS } from '../../../src/controllers/imports/steering.ts';
import { decide } from '../../../src/controllers/mirror/mirror-verdict.ts';
import {
  aliveGateway,
  desiredFor,
  exportedService,
  mirrorFacts,
  stored,
} from '../../support/mirror-facts.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';

const own = {
  ranges: {
    pod: new IpRanges(['10.244.0.0/16']),
    service: new IpRanges(['10.96.0.0/12', 'fd00:96::/108']),
    node: new IpRanges(['192.168.1.10']),
  },
};
const rules = { excludedLabel: () => false, excludedAnnotation: () => false, steering: isSteering };
const slice = (...addresses: string[]): V1EndpointSlice => ({
  metadata: { name: 'web-1' },
  addressType: 'IPv4',
  endpoints: addresses.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
});

/** The imports of the Link west, its clock, and the view of what is here. */
function newLinkImports(change: Partial<LinkImportsOptions> = {}) {
  const clock = new VirtualClock();
  const view = new LocalView(
    {
      services: new IndexedStore(serviceIndexes),
      endpointSlices: new IndexedStore({ [BY_SERVICE]: sliceService }),
      endpoints: new IndexedStore(),
      namespaces: new IndexedStore(),
    },
    clock,
  );
  const guard = new DropGuard({ fraction: 0.5 });
  const linkImports = new LinkImports({
    policy: DEFAULT_POLICY,
    controlNamespaces: controlNamespaces(['links']),
    rules,
    cluster: 'west',
    createNamespaces: false,
    own,
    guard,
    view,
    clock,
    ...change,
  });
  const look = (key: string, more: Partial<Parameters<LinkImports['judge']>[0]> = {}) =>
    linkImports.judge({
      key,
      claim: key,
      remote: exportedService(),
      exists: false,
      mirrors: 1,
      egressPorts: 0,
      ...more,
    });
  return { linkImports, clock, view, guard, look };
}

const quotas = (change: Partial<typeof DEFAULT_POLICY.quotas>) => ({
  policy: { ...DEFAULT_POLICY, quotas: { ...DEFAULT_POLICY.quotas, ...change } },
});

describe('what a Link takes', () => {
  const control = controlNamespaces(['links']);
  const refusal = (namespace: string, name = 'web', policy: object = {}) =>
    importRefusal({ namespace, name }, { ...DEFAULT_POLICY, ...policy }, control)?.reason;

  for (const namespace of [
    'kube-system',
    'kube-public',
    'kube-node-lease',
    'kube-flannel',
    'links',
    'linkerd',
    'linkerd-multicluster',
    'linkerd-viz',
  ])
    it(`is nothing for ${namespace}, unless the policy names it`, () => {
      expect(refusal(namespace)).to.equal('ImportNamespaceRefused');
      for (const text of ['*', `${namespace.slice(0, -1)}*`])
        expect(refusal(namespace, 'web', { namespaces: new NamePatterns([text]) })).to.equal(
          'ImportNamespaceRefused',
        );
      expect(refusal(namespace, 'web', { namespaces: new NamePatterns([namespace]) })).to.equal(undefined);
    });

  it('is everything else without a policy, and what it lists with one', () => {
    expect(refusal('default')).to.equal(undefined);
    expect(refusal('shop', 'web', { namespaces: new NamePatterns(['blog']) })).to.equal(
      'ImportNamespaceRefused',
    );
    const names = new NamePatterns(['shop/*', 'api']);
    expect(refusal('shop', 'web', { names })).to.equal(undefined);
    expect(refusal('blog', 'api', { names })).to.equal(undefined);
    expect(refusal('blog', 'web', { names })).to.equal('ImportNameRefused');
  });

  it('goes, when it is refused, whatever the target says', () => {
    const facts = mirrorFacts();
    const refused = { ...TAKES_ALL, refusal: { reason: 'ImportNameRefused', message: 'no' } as const };
    // Also while the drop guard holds removals: it waits for a second list, which a hostile target never
    // gives.
    const mirrored = { ...facts, local: stored(desiredFor(facts)), imports: refused, removalsHeld: true };
    expect(decide(mirrored)).to.include({ action: 'remove', reason: 'ImportNameRefused' });
    expect(plan(mirrored, decide(mirrored)).map(({ verb, kind }) => `${verb} ${kind}`)).to.deep.equal([
      'delete services',
      'delete endpointSlices',
    ]);
    expect(decide({ ...mirrored, imports: { ...refused, heldMs: 10 } })).to.include({
      action: 'keep',
      reason: 'ImportHeld',
    });
    // Nor is the target asked whether it still exports it: it may not be reachable, or not answer.
    expect(decide({ ...mirrored, remote: undefined, synced: false })).to.include({ action: 'remove' });
    // A Service of somebody else under that name is left alone.
    const foreign = {
      ...mirrored,
      local: {
        service: { metadata: { name: 'web-west', namespace: 'demo' } },
        slices: [],
        endpoints: undefined,
      },
    };
    expect(decide(foreign)).to.include({ action: 'keep', reason: 'NameConflict' });
  });

  it('is held for half a minute when a change of the policy would take many mirrors at once', async () => {
    // A slip in the list of namespaces would cut all traffic in one second.
    const policy = { ...DEFAULT_POLICY, namespaces: new NamePatterns(['nobody']) };
    const { linkImports, guard, look, clock } = newLinkImports({ policy });
    const keys = Array.from({ length: 12 }, (_, i) => `shop/web-${i}`);
    for (const key of keys) {
      guard.note(key, true, 'there');
      linkImports.note(key, true);
    }
    expect(look('shop/web-0', { exists: true }).heldMs).to.equal(30_000);
    await clock.advance(29_000);
    expect(look('shop/web-0', { exists: true }).heldMs).to.equal(1000);
    await clock.advance(1000);
    expect(look('shop/web-0', { exists: true }).heldMs).to.equal(0);
    expect(look('shop/new').heldMs).to.equal(0);
  });

  it('is judged by what is here before the target has said a word', () => {
    const policy = { ...DEFAULT_POLICY, namespaces: new NamePatterns(['shop']) };
    const { look } = newLinkImports({ policy });
    const silent = { remote: undefined };
    expect(look('blog/web', { ...silent, exists: true }).refusal?.reason).to.equal('ImportNamespaceRefused');
    expect(look('blog/web', { ...silent, exists: false }).refusal).to.equal(undefined);
    expect(look('shop/web', { ...silent, exists: true }).refusal).to.equal(undefined);
  });

  it('is refused at once when it is a few of many', () => {
    const policy = { ...DEFAULT_POLICY, namespaces: new NamePatterns(['shop']) };
    const { linkImports, guard, look } = newLinkImports({ policy });
    for (let i = 0; i < 100; i++) guard.note(`shop/web-${i}`, true, 'there');
    linkImports.note('blog/web', true);
    expect(look('blog/web', { exists: true })).to.deep.include({ heldMs: 0 });
  });
});

describe('quotas of a Link', () => {
  it('leave other Links their egress ports: 200 exports of 100 ports do not take all 20,000', () => {
    const { look } = newLinkImports();
    const taken = new Set<number>();
    const allocate = (holder: string, wanted: readonly number[]): EgressPorts | undefined => {
      const ports = chooseEgressPorts(holder, wanted, {}, (port) => taken.has(port), DEFAULT_EGRESS_RANGE);
      for (const port of Object.values(ports ?? {})) taken.add(port);
      return ports;
    };
    const servicePorts = Array.from({ length: 100 }, (_, i) => 1000 + i);
    let refused = 0;
    for (let i = 0; i < 200; i++) {
      const { overQuota } = look(`evil/many-${i}`, { egressPorts: 100 });
      if (overQuota === undefined) allocate(`evil/many-${i}-west`, servicePorts);
      else refused++;
    }
    expect(refused).to.equal(100);
    expect(allocate('shop/web-north', [80])).not.to.equal(undefined);
  });

  it('go to who came first, and what exists here comes before all: a flood displaces nobody over a restart', () => {
    const { linkImports, look } = newLinkImports(quotas({ mirrors: 3 }));
    const at = (name: string, minute: number): V1Service => ({
      metadata: { name, namespace: 'shop', creationTimestamp: new Date(minute * 60_000) },
    });
    linkImports.seed(
      [at('c', 3), at('a', 1), at('d', 4), at('b', 2)].map((service) => ({
        claim: `shop/${service.metadata?.name ?? ''}`,
        service,
        hosts: 0,
        relayed: false,
      })),
    );
    // The youngest has no room when the quota was lowered.
    expect(look('shop/d', { exists: true }).overQuota).to.match(/mirrors=3/);
    expect(look('shop/new').overQuota).to.match(/mirrors=3/);
    for (const name of ['a', 'b', 'c'])
      expect(look(`shop/${name}`, { exists: true }).overQuota).to.equal(undefined);
    // What is exported no more, and gone, gives its room back.
    look('shop/a', { remote: undefined, exists: true });
    expect(look('shop/new').overQuota).to.match(/mirrors=3/);
    look('shop/a', { remote: undefined, exists: false });
    expect(look('shop/new').overQuota).to.equal(undefined);
  });

  it('count the endpoint mirrors of a headless Service', () => {
    const { look } = newLinkImports(quotas({ mirrors: 10 }));
    expect(look('shop/db', { mirrors: 11 }).overQuota).to.match(/mirrors=10/);
    expect(look('shop/db', { mirrors: 10 }).overQuota).to.equal(undefined);
  });

  it('withdraw a mirror that has no room, and make one without metadata when only that has none', () => {
    const facts = mirrorFacts();
    const over = { ...TAKES_ALL, overQuota: 'used up' };
    expect(decide({ ...facts, imports: over })).to.include({
      action: 'remove',
      reason: 'ImportQuotaExceeded',
    });
    const { look } = newLinkImports(quotas({ metadataBytes: 60 }));
    const remote = exportedService({
      metadata: {
        name: 'web',
        namespace: 'demo',
        annotations: { doc: 'x'.repeat(50), 'config.linkerd.io/opaque-ports': '3306' },
      },
    });
    const imports = look('demo/web', { remote });
    expect(imports).to.include({ overQuota: undefined, metadataAllowed: false });
    const bare = mirrorFacts({ remote, imports });
    const { metadata } = desiredFor(bare).service;
    expect(metadata?.annotations).not.to.have.property('doc');
    expect(metadata?.annotations).to.include({ 'config.linkerd.io/opaque-ports': '3306' });
    expect(decide(bare)).to.include({ reason: 'Mirrored' });
    expect(decide(bare).message).to.contain('metadata-bytes');
  });

  it('bound the namespaces that are made for a Link', () => {
    const { look, view } = newLinkImports({ createNamespaces: true, ...quotas({ namespaces: 2 }) });
    const made = { metadata: { name: 'was', labels: { 'mirror.linkerd.io/cluster-name': 'west' } } };
    view.stores.namespaces.set(made);
    view.stores.namespaces.set({ metadata: { name: 'ours' } });
    expect(look('one/web').namespaceAllowed).to.equal(true);
    // Two keys of one moment, before the watch has shown the first namespace.
    expect(look('two/web').namespaceAllowed).to.equal(false);
    expect(look('one/api').namespaceAllowed).to.equal(true);
    expect(look('ours/web').namespaceAllowed).to.equal(true);
    const link = { ...mirrorFacts().link, createNamespaces: true };
    const facts = mirrorFacts({ link, namespace: 'absent' });
    expect(decide(facts)).to.include({ action: 'namespace' });
    expect(decide({ ...facts, imports: { ...TAKES_ALL, namespaceAllowed: false } })).to.include({
      action: 'keep',
      reason: 'ImportQuotaExceeded',
    });
  });
});

describe('labels and annotations that steer the source', () => {
  const steering = [
    'external-dns.alpha.kubernetes.io/hostname',
    'external-dns.alpha.kubernetes.io/target',
    'cert-manager.io/cluster-issuer',
    'nginx.ingress.kubernetes.io/auth-url',
    'kubernetes.io/ingress.class',
    'getambassador.io/config',
    'istio.io/use-waypoint',
    'networking.istio.io/exportTo',
    'service.cilium.io/global',
    'io.cilium/global-service',
    'metallb.io/loadBalancerIPs',
    'service.beta.kubernetes.io/aws-load-balancer-type',
    'cloud.google.com/neg',
    'service.kubernetes.io/service-proxy-name',
    'service.kubernetes.io/headless',
    'argocd.argoproj.io/instance',
    'kustomize.toolkit.fluxcd.io/name',
    'meta.helm.sh/release-name',
    'helm.sh/chart',
    'app.kubernetes.io/managed-by',
    'app.kubernetes.io/instance',
    'addonmanager.kubernetes.io/mode',
    'kubernetes.io/cluster-service',
    'kpack.io/image',
    'Argocd.ArgoProj.io/instance',
  ];
  for (const key of steering) it(`hold ${key}`, () => expect(isSteering(key)).to.equal(true));
  for (const key of [
    'app',
    'team',
    'app.kubernetes.io/name',
    'app.kubernetes.io/version',
    'config.linkerd.io/opaque-ports',
    'retry.linkerd.io/http',
    'timeout.linkerd.io/request',
    'balancer.linkerd.io/x',
    'example.com/doc',
    'notcilium.io/x',
    'cilium.io.example.com/x',
    '/x',
  ])
    it(`do not hold ${key}`, () => expect(isSteering(key)).to.equal(false));

  it('are taken back from a mirror that Linkerd made, and what somebody here has set stays', () => {
    const annotations = { 'external-dns.alpha.kubernetes.io/hostname': 'login.bank.example', note: 'hello' };
    const remote = exportedService({ metadata: { ...exportedService().metadata, annotations } });
    const facts = mirrorFacts({ remote, link: { ...mirrorFacts().link, rules } });
    const local = stored(desiredFor(facts));
    const { 'linkspan.dev/copied-keys': _, ...made } = local.service?.metadata?.annotations ?? {};
    const withMade = (more: Record<string, string>) => ({
      ...facts,
      local: {
        ...local,
        service: {
          ...local.service,
          metadata: { ...local.service?.metadata, annotations: { ...made, ...more } },
        },
      },
    });
    const patchOf = (more: Record<string, string>) => {
      const [step] = plan(withMade(more), decide(withMade(more)));
      return step?.verb === 'patch' ? (step.patch as V1Service).metadata?.annotations : undefined;
    };
    expect(patchOf(annotations)).to.include({ 'external-dns.alpha.kubernetes.io/hostname': null });
    expect(patchOf(annotations)).not.to.have.property('note');
    expect(
      patchOf({ 'external-dns.alpha.kubernetes.io/hostname': 'ours.example', note: 'hello' }),
    ).not.to.have.property('external-dns.alpha.kubernetes.io/hostname');
  });

  it('are listed in docs/reference/mirrors.md', () => {
    const text = readFileSync(path.join(import.meta.dirname, '../../../docs/reference/mirrors.md'), 'utf8');
    for (const [what, domains] of Object.entries(STEERING_DOMAINS)) {
      const row = text.split('\n').find((line) => line.startsWith(`| ${what} |`)) ?? '';
      expect(row, what).to.equal(`| ${what} | ${domains.map((domain) => `\`${domain}\``).join(', ')} |`);
    }
    for (const key of STEERING_KEYS) expect(text).to.contain(`\`${key}\``);
    // What nobody's word has copied, as the table of what is copied has it: it named three of the groups.
    const listed = (what: string) =>
      [
        ...(text.split('\n').find((line) => line.startsWith(`| ${what} | but`)) ?? '').matchAll(/`([^`]+)`/g),
      ].map(([, name]) => name);
    expect(listed('labels')).to.deep.equal(NEVER_COPIED_GROUPS);
    expect(listed('annotations')).to.deep.equal([...NEVER_COPIED_ANNOTATIONS]);
  });
});

describe('addresses that a target names', () => {
  const pod = (address: string, podCidrs?: IpRanges) => podRefusal(address, { podCidrs }, own);

  it("are never loopback, link-local or the source's own", () => {
    expect(pod('10.1.0.1')).to.equal(undefined);
    for (const [address, why] of [
      ['127.0.0.1', /loopback/],
      ['169.254.169.254', /link-local/],
      ['::ffff:127.0.0.1', /loopback/],
      ['10.244.3.4', /own pod range/],
      ['10.96.0.1', /own service range/],
      ['::ffff:10.96.0.1', /own service range/],
      ['64:ff9b::10.96.0.1', /own service range/],
      ['fd00:96::1', /own service range/],
      ['192.168.1.10', /own node range/],
    ] as const)
      expect(pod(address), address).to.match(why);
    expect(pod('10.1.0.1', new IpRanges(['10.2.0.0/16']))).to.match(/import-pod-cidrs/);
    expect(pod('10.2.0.1', new IpRanges(['10.2.0.0/16']))).to.equal(undefined);
    // The Link's range does not open the source's own.
    expect(pod('10.244.0.1', new IpRanges(['10.244.0.0/16']))).to.match(/own pod range/);
  });

  it('of gateways are no own ones either, unless the policy says so: a tunnel of ours', () => {
    const none = { gatewayCidrs: new IpRanges([]) };
    const tunnel = { gatewayCidrs: new IpRanges(['10.96.7.7']) };
    expect(gatewayRefusal('10.1.0.1', none, own)).to.equal(undefined);
    expect(gatewayRefusal('10.96.7.7', none, own)).to.match(/own service range.*import-gateway-cidrs/);
    expect(gatewayRefusal('10.96.7.7', tunnel, own)).to.equal(undefined);
    expect(gatewayRefusal('10.96.7.8', tunnel, own)).to.match(/own service range/);
    const open = { gatewayCidrs: new IpRanges(['0.0.0.0/0', '::/0']) };
    expect(gatewayRefusal('127.0.0.1', open, own)).to.equal('loopback');
  });

  it('of pods are left out of flat mirrors and federated ones, and told', () => {
    // CVE-2021-25740: whoever writes endpoints says where other people's clients go.
    const imports = { ...TAKES_ALL, podRefusal: (address: string) => pod(address) };
    const remoteSlices = [slice('10.1.0.1', '127.0.0.1', '169.254.169.254', '10.96.0.1')];
    const link = { ...mirrorFacts().link, flatEndpoints: true };
    const facts = mirrorFacts({ flat: true, link, remoteSlices, imports });
    const verdict = decide(facts);
    const addressesOf = (slices: readonly V1EndpointSlice[]) =>
      slices.flatMap(({ endpoints = [] }) => endpoints.flatMap(({ addresses }) => addresses));
    expect(addressesOf(desiredFor(facts).slices)).to.deep.equal(['10.1.0.1']);
    expect(verdict.reason).to.equal('Mirrored');
    expect(verdict.notes?.map(({ reason }) => reason)).to.deep.equal(['ImportAddressRefused']);
    expect(verdict.message).to.contain('127.0.0.1 (loopback)');
    const none = { ...facts, remoteSlices: [slice('127.0.0.1')] };
    expect(decide(none).reason).to.equal('ImportAddressRefused');
    expect(addressesOf(desiredFor(none).slices)).to.deep.equal([]);
    const member = decideMember({
      ...facts,
      member: 'west',
      link: 'links/west',
      rules,
      createNamespaces: false,
      union: 'pods',
      federated: facts.local,
      strangers: [],
      leads: true,
    });
    if (member.action !== 'join') throw new Error(member.reason);
    expect(addressesOf(member.slices)).to.deep.equal(['10.1.0.1']);
    expect(member.notes?.map(({ reason }) => reason)).to.deep.equal(['ImportAddressRefused']);
  });

  for (const dataPath of ['gateway', 'relay'] as const)
    it(`of a gateway that is refused lead nowhere (${dataPath}), and a mirror that was there loses its endpoints`, () => {
      const link = { ...mirrorFacts().link, dataPath };
      const egress = [{ ip: '10.9.0.1' }];
      const egressPorts = new Map([['web-west', { 80: 10_000 }]]);
      const before = mirrorFacts({ link, egress, egressPorts });
      const refusal = { reason: 'GatewayNotAllowed', message: 'not in the list' } as const;
      const gateway = aliveGateway({ path: 'refused', own: true, known: [], alive: [], refusal });
      const facts = { ...before, gateway, local: stored(desiredFor(before)) };
      expect(decide(facts)).to.include({
        action: 'mirror',
        reason: 'GatewayNotAllowed',
        message: 'not in the list',
      });
      expect(desiredFor(facts).slices.flatMap(({ endpoints = [] }) => endpoints)).to.deep.equal([]);
    });
});
