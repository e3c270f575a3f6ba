import type { V1Secret, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { codeOf } from '../../../src/api/errors/linkspan-error.ts';
import { accessFromSecret } from '../../../src/linking/credentials.ts';
import {
  gatewayFacts,
  linkerdFacts,
  tokenOf,
  type LinkGatewayOptions,
} from '../../../src/linking/link-gen.ts';
import { linkManifests } from '../../../src/linking/link-manifests.ts';
import { parseLink, type LinkObject } from '../../../src/api/link/link-schema.ts';
import { linkFacts } from '../../support/link-facts.ts';

const testdata = (name: string) => path.join(import.meta.dirname, 'testdata', name);

const facts = linkFacts({
  excludedAnnotations: ['evil.io/*'],
  excludedLabels: ['argocd.argoproj.io/instance'],
});

/** What the thrown LinkspanError says, as `CODE message`. */
function complaint(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return `${codeOf(error) ?? 'no code'} ${(error as Error).message}`;
  }
  return 'nothing thrown';
}

describe('link-gen manifests', () => {
  it('are the two Secrets and the Link of the golden file', () => {
    const printed = linkManifests(facts).map((object) => `---\n${stringify(object, { lineWidth: 0 })}`);
    expect(printed.join('')).to.equal(readFileSync(testdata('link-gen.golden.yaml'), 'utf8'));
  });

  it('hold a kubeconfig that the controller reads back', () => {
    const [secret] = linkManifests({ ...facts, tlsServerName: 'api.west' }) as V1Secret[];
    const access = accessFromSecret(secret ?? {});
    expect(access).to.include({
      server: facts.server,
      ca: facts.ca,
      tlsServerName: 'api.west',
      skipVerify: false,
    });
  });

  it('keep insecure-skip-tls-verify of the kubeconfig, or the Link would fail where the user succeeded', () => {
    const [secret] = linkManifests({ ...facts, ca: undefined, skipVerify: true }) as V1Secret[];
    expect(accessFromSecret(secret ?? {})).to.include({ ca: undefined, skipVerify: true });
  });

  it('name neither gateway nor gateway selector with --gateway=false, as Linkerd does', () => {
    const link = linkManifests({ ...facts, gateway: undefined }).at(-1) as LinkObject;
    expect(link.spec).to.not.have.any.keys('gatewayAddress', 'gatewayPort', 'probeSpec', 'selector');
    expect(parseLink(link)).to.have.property('ok', true);
  });

  it("leave out the control plane's Secret where there is no Linkerd to read it", () => {
    const kinds = linkManifests({ ...facts, destinationCredentials: false }).map(
      (object) => (object as LinkObject).kind,
    );
    expect(kinds).to.deep.equal(['Secret', 'Link']);
  });

  it('are refused when no controller could use them', () => {
    const gateway =
      facts.gateway === undefined ? undefined : { ...facts.gateway, addresses: ['not an address'] };
    expect(complaint(() => linkManifests({ ...facts, gateway }))).to.match(
      /^LINK_INVALID .*spec\.gatewayAddress/,
    );
  });
});

describe('link-gen reads the gateway Service', () => {
  const options: LinkGatewayOptions = {
    name: 'linkerd-gateway',
    namespace: 'mc',
    addresses: [],
    port: undefined,
  };
  const annotations = {
    'mirror.linkerd.io/gateway-identity': 'gw.identity',
    'mirror.linkerd.io/probe-path': '/ready',
    'mirror.linkerd.io/probe-period': '3',
  };
  const ports = [
    { name: 'mc-gateway', port: 4143, nodePort: 30_143 },
    { name: 'mc-probe', port: 4191, nodePort: 30_191 },
  ];
  const ingress = [{ ip: '10.0.0.1' }, { hostname: 'lb.example.com' }, {}];
  const gateway = (parts: Partial<V1Service>): V1Service => ({
    metadata: parts.metadata ?? { annotations },
    spec: parts.spec ?? { type: 'LoadBalancer', ports },
    status: parts.status ?? { loadBalancer: { ingress } },
  });
  const service = gateway({});
  const nodePort = gateway({ spec: { type: 'NodePort', ports }, status: {} });

  it('with its ingress addresses and ports', () => {
    expect(gatewayFacts(service, options)).to.deep.equal({
      addresses: ['10.0.0.1', 'lb.example.com'],
      identity: 'gw.identity',
      port: 4143,
      probe: { path: '/ready', port: 4191, period: '3s' },
    });
  });

  it('with its node ports, for the addresses that the user names', () => {
    const found = gatewayFacts(nodePort, { ...options, addresses: ['192.0.2.7'] });
    expect([found.addresses, found.port, found.probe.port]).to.deep.equal([['192.0.2.7'], 30_143, 30_191]);
  });

  it('with the port that the user names', () => {
    expect(gatewayFacts(service, { ...options, port: 443 }).port).to.equal(443);
  });

  const without = (key: string): V1Service =>
    gateway({ metadata: { annotations: { ...annotations, [`mirror.linkerd.io/${key}`]: '' } } });
  const wrong: readonly [string, V1Service, string][] = [
    ['no address yet', gateway({ status: {} }), 'gateway linkerd-gateway.mc has no ingress addresses'],
    [
      'a NodePort without --gateway-addresses',
      nodePort,
      'gateway linkerd-gateway.mc has no ingress addresses',
    ],
    ['no identity', without('gateway-identity'), 'has no mirror.linkerd.io/gateway-identity annotation'],
    ['no probe path', without('probe-path'), 'has no mirror.linkerd.io/probe-path annotation'],
    ['no probe period', without('probe-period'), 'has no mirror.linkerd.io/probe-period annotation'],
    [
      'ports of other names',
      gateway({ spec: { ports: [{ name: 'mc-gateway', port: 4143 }] } }),
      'could not find port with name mc-probe',
    ],
  ];
  for (const [story, bad, message] of wrong) {
    it(`and says what is missing: ${story}`, () => {
      const said = complaint(() => gatewayFacts(bad, options));
      expect(said)
        .to.match(/^GATEWAY_INCOMPLETE /)
        .and.include(message);
    });
  }
});

describe('link-gen finds the token', () => {
  const secret = (account: string, data: Record<string, string>): V1Secret => ({
    metadata: { annotations: { 'kubernetes.io/service-account.name': account } },
    data,
  });

  it('in whichever Secret names the account and is filled', () => {
    const candidates = [
      secret('other', { token: 'b3RoZXI=' }),
      secret('sa', {}),
      secret('sa', { token: 'dG9r' }),
    ];
    expect(tokenOf(candidates, 'sa', 'mc')).to.equal('tok');
  });

  it('or says that there is no Secret for it', () => {
    const said = complaint(() => tokenOf([secret('other', { token: 'eA==' })], 'sa', 'mc'));
    expect(said).to.equal(
      'SERVICE_ACCOUNT_TOKEN_MISSING could not find service account token secret for mc/sa: there is no token Secret for it',
    );
  });

  it('or says that the Secret is still empty', () => {
    expect(complaint(() => tokenOf([secret('sa', {})], 'sa', 'mc'))).to.include('has not been filled in yet');
  });
});

describe("link-gen reads Linkerd's domains", () => {
  it('from the values it was installed with', () => {
    expect(linkerdFacts('clusterDomain: a.local\nidentityTrustDomain: b.local\nx: 1', 'cm')).to.deep.equal({
      clusterDomain: 'a.local',
      trustDomain: 'b.local',
    });
  });

  it('and takes the cluster domain for an unset trust domain', () => {
    expect(linkerdFacts('clusterDomain: a.local\nidentityTrustDomain: ""', 'cm').trustDomain).to.equal(
      'a.local',
    );
  });

  for (const text of [undefined, 'a: [', 'clusterDomain: 7']) {
    it(`and refuses ${JSON.stringify(text)} instead of guessing`, () => {
      expect(complaint(() => linkerdFacts(text, 'ConfigMap x'))).to.match(
        /^LINKERD_CONFIG_INVALID ConfigMap x/,
      );
    });
  }
});

describe("what Linkerd's own link-gen prints", () => {
  const documents = parseAllDocuments(readFileSync(testdata('linkerd-link-gen.yaml'), 'utf8'))
    .map((document): unknown => document.toJS())
    .filter((value) => value !== null);

  it('is a Link that we read', () => {
    const verdict = parseLink(documents[2] as LinkObject);
    expect(verdict.ok && verdict.link.gateway?.addresses).to.deep.equal(['10.1.2.40', 'gw.west.example.com']);
  });

  it('and credentials that we read', () => {
    expect(accessFromSecret(documents[0] as V1Secret).server).to.equal('https://10.1.2.3:6443');
  });
});

describe('credentials', () => {
  const kubeconfig = (cluster: object, user: object) =>
    stringify({
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1', ...cluster } }],
      users: [{ name: 'u', user }],
    });
  const secret = (text: string, parts: Pick<V1Secret, 'type' | 'data'> = {}): V1Secret => ({
    metadata: { namespace: 'mc', name: 'creds' },
    type: parts.type ?? 'mirror.linkerd.io/remote-kubeconfig',
    data: parts.data ?? { kubeconfig: Buffer.from(text).toString('base64') },
  });
  const bad: readonly [string, V1Secret, string][] = [
    ['the wrong type', secret('', { type: 'Opaque' }), 'is of type "Opaque"'],
    ['no key', secret('', { data: { other: 'eA==' } }), 'no data under the key "kubeconfig"'],
    ['an empty value', secret(''), 'no data under the key "kubeconfig"'],
    ['no YAML', secret('a: [b'), 'does not parse as YAML'],
    ['another document', secret('just text'), 'is not a kubeconfig'],
    [
      'a CA file',
      secret(kubeconfig({ 'certificate-authority': '/home/me/ca.crt' }, {})),
      'names the file /home/me/ca.crt',
    ],
    ['a token file', secret(kubeconfig({}, { tokenFile: '/var/token' })), 'names the file /var/token'],
    ['a plugin', secret(kubeconfig({}, { exec: { command: 'aws' } })), 'uses a plugin'],
  ];
  it('say of another type that it cannot be changed, and what helps', () => {
    // linkerd2#11542: a Secret that another tool made Opaque was "not there".
    try {
      accessFromSecret(secret('', { type: 'Opaque' }));
      expect.fail('it is refused');
    } catch (error) {
      expect(error).to.have.property('hint').that.includes('cannot be changed: delete it');
    }
  });

  for (const [story, value, message] of bad) {
    it(`name the Secret and what is wrong: ${story}`, () => {
      const said = complaint(() => accessFromSecret(value));
      expect(said)
        .to.match(/^CREDENTIALS_INVALID Secret mc\/creds/)
        .and.include(message);
    });
  }
});
