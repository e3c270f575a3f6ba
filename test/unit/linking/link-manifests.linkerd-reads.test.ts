import type { V1Secret, V1Service } from '@kubernetes/client-node';
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../../src/api/kubernetes/resource.ts';
import { gatewayFacts } from '../../../src/linking/link-gen.ts';
import { linkManifests } from '../../../src/linking/link-manifests.ts';
import {
  controllerCredentials,
  controllerReads,
  destinationAdds,
  linkGenReads,
} from '../../support/linkerd-reading.ts';
import { linkFacts } from '../../support/link-facts.ts';

const options = {
  name: 'linkerd-gateway',
  namespace: 'linkerd-multicluster',
  addresses: [],
  port: undefined,
};
const IDENTITY = 'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local';

/** A gateway Service, as an API server returns it once it has an address. */
function gateway(
  change: { annotations?: Record<string, string>; spec?: object; status?: object } = {},
): V1Service {
  return {
    metadata: {
      name: options.name,
      namespace: options.namespace,
      annotations: {
        'mirror.linkerd.io/gateway-identity': IDENTITY,
        'mirror.linkerd.io/probe-path': '/ready',
        'mirror.linkerd.io/probe-period': '3',
        ...change.annotations,
      },
    },
    spec: {
      type: 'LoadBalancer',
      ports: [
        { name: 'mc-gateway', port: 4143, nodePort: 30_143 },
        { name: 'mc-probe', port: 4191, nodePort: 30_191 },
      ],
      ...change.spec,
    },
    status: {
      loadBalancer: { ingress: [{ ip: '10.0.0.1' }, { hostname: 'gw.example.com' }] },
      ...change.status,
    },
  };
}

const facts = linkFacts({ gateway: gatewayFacts(gateway(), options), version: '1.2.3' });
const [mirrorSecret, destinationSecret, link] = linkManifests(facts) as [V1Secret, V1Secret, KubeObject];

/** What an API server adds to a Link by the defaults of the CRD. */
function stored(object: KubeObject): KubeObject {
  const { spec } = object as { spec: { probeSpec: object } };
  const probeSpec = { timeout: '30s', failureThreshold: '3', ...spec.probeSpec };
  return { ...object, spec: { ...spec, probeSpec } } as KubeObject;
}

describe("what Linkerd's link-gen reads of a gateway", () => {
  const same: readonly [string, V1Service][] = [
    ['of type LoadBalancer', gateway()],
    ['of type NodePort', gateway({ spec: { type: 'NodePort' } })],
    [
      'with a period that has a unit',
      gateway({ annotations: { 'mirror.linkerd.io/probe-period': '1m30s' } }),
    ],
  ];
  for (const [story, service] of same)
    it(`is what ours reads: ${story}`, () => {
      const theirs = linkGenReads(service);
      const ours = gatewayFacts(service, options);
      expect({ ...ours, addresses: ours.addresses.join(',') }).to.deep.equal({
        addresses: theirs.address,
        port: theirs.port,
        identity: theirs.identity,
        probe: theirs.probe,
      });
    });

  const lacking: readonly [string, V1Service][] = [
    ['no address', gateway({ status: { loadBalancer: {} } })],
    ['no identity', gateway({ annotations: { 'mirror.linkerd.io/gateway-identity': '' } })],
    ['no probe path', gateway({ annotations: { 'mirror.linkerd.io/probe-path': '' } })],
    ['a period that is none', gateway({ annotations: { 'mirror.linkerd.io/probe-period': 'often' } })],
    ['ports of other names', gateway({ spec: { ports: [{ name: 'proxy', port: 4143 }] } })],
  ];
  for (const [story, service] of lacking)
    it(`is refused by both: ${story}`, () => {
      expect(() => linkGenReads(service)).to.throw();
      expect(() => gatewayFacts(service, options)).to.throw(/GATEWAY|gateway/);
    });

  for (const period of ['0.5', '1d', '1500'])
    it(`becomes a period that Linkerd's controller takes: ${period}`, () => {
      const service = gateway({ annotations: { 'mirror.linkerd.io/probe-period': period } });
      const [object] = linkManifests({ ...facts, gateway: gatewayFacts(service, options) }).slice(-1);
      expect(() => controllerReads(stored(object ?? {}))).not.to.throw();
    });
});

describe("what Linkerd's controllers read of ours", () => {
  it('is a Link whose every field they understand, once the API server has put its defaults in', () => {
    expect(() => controllerReads(stored(link))).not.to.throw();
    expect(link.apiVersion).to.equal('multicluster.linkerd.io/v1alpha3');
  });

  it('would notice a number where they want a text', () => {
    const { spec } = link as { spec?: object };
    expect(() =>
      controllerReads(stored({ ...link, spec: { ...spec, gatewayPort: 4143 } } as KubeObject)),
    ).to.throw(/'gatewayPort' is not a string/);
  });

  it('is a Secret with credentials that client-go reads, for the mirror controller', () => {
    expect(mirrorSecret.type).to.equal('mirror.linkerd.io/remote-kubeconfig');
    expect(controllerCredentials(mirrorSecret)).to.deep.equal({
      server: 'https://10.1.2.3:6443',
      token: 'abc.def.ghi',
      ca: Buffer.from(facts.ca ?? '').toString('base64'),
    });
  });

  it('is a Secret that the destination controller adds to its clusters', () => {
    expect(destinationAdds(destinationSecret)).to.deep.equal({
      cluster: 'west',
      clusterDomain: 'cluster.local',
      trustDomain: 'trust.example.com',
    });
    expect(() => destinationAdds(mirrorSecret)).to.throw(/cluster-name" label/);
  });

  it("is the same as what Linkerd's own link-gen prints, but for names in the kubeconfig and the CA file that it leaves a file", () => {
    const file = path.join(import.meta.dirname, 'testdata/linkerd-link-gen.yaml');
    const theirs = parseAllDocuments(readFileSync(file, 'utf8'))
      .map((document) => document.toJS() as KubeObject | null)
      .filter((object) => object !== null);
    const shape = (objects: readonly KubeObject[]) =>
      objects.map(({ apiVersion, kind, metadata, ...rest }) => ({
        apiVersion,
        kind,
        type: (rest as V1Secret).type,
        name: metadata?.name,
        namespace: metadata?.namespace,
        labels: metadata?.labels,
        annotations: Object.keys(metadata?.annotations ?? {}).sort(),
        data: Object.keys((rest as V1Secret).data ?? {}),
        spec: Object.keys((rest as { spec?: object }).spec ?? {}).sort(),
      }));
    expect(shape([mirrorSecret, destinationSecret, link])).to.deep.equal(shape(theirs));
    expect(() => controllerReads(stored(theirs[2] ?? {}))).not.to.throw();
    expect(() => destinationAdds(theirs[1] as V1Secret)).not.to.throw();
  });
});
