import type { V1Endpoint, V1EndpointSlice, V1Service, V1ServicePort } from '@kubernetes/client-node';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { countEndpoints, countLasting, hasPodSelector } from '../../../src/exports/endpoint-slices.ts';
import { serviceTargets, targetHosts } from '../../../src/discovery/service-targets.ts';

interface ServiceShape {
  ports?: V1ServicePort[];
  annotations?: Record<string, string>;
  spec?: Partial<NonNullable<V1Service['spec']>>;
}

function service(shape: ServiceShape = {}): V1Service {
  return {
    metadata: { name: 'web', namespace: 'demo', annotations: shape.annotations ?? {} },
    spec: { ports: shape.ports ?? [{ port: 80, targetPort: 8080 }], ipFamilies: ['IPv4'], ...shape.spec },
  };
}

function slice(endpoints: V1Endpoint[], shape: Partial<V1EndpointSlice> = {}): V1EndpointSlice {
  return {
    metadata: { name: 'web-abc', namespace: 'demo' },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints,
    ...shape,
  };
}

const at = (address: string, conditions: V1Endpoint['conditions'] = { ready: true }): V1Endpoint => ({
  addresses: [address],
  conditions,
});

function endpoints(slices: V1EndpointSlice[], shape: ServiceShape = {}) {
  const [target] = serviceTargets(service(shape), slices, 'cluster.local');
  return target?.endpoints.map((one) => `${one.host}:${one.port}${one.ready ? '' : ' not ready'}`);
}

function protocolOf(port: Partial<V1ServicePort>, annotations: Record<string, string> = {}) {
  const shape = { ports: [{ port: 80, ...port }], annotations };
  return serviceTargets(service(shape), [], 'cluster.local')[0]?.protocol;
}

describe('serviceTargets', () => {
  it('names a target for each TCP port by the Service and the cluster domain', () => {
    const ports = [
      { name: 'http', port: 80 },
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'admin', port: 9000, protocol: 'TCP' },
    ];
    const found = serviceTargets(service({ ports }), [], 'west.example');
    expect(found.map(({ name, port }) => `${name}:${port}`)).to.deep.equal([
      'web.demo.svc.west.example:80',
      'web.demo.svc.west.example:9000',
    ]);
  });

  it('has no target for an ExternalName Service', () => {
    expect(serviceTargets(service({ spec: { type: 'ExternalName' } }), [], 'cluster.local')).to.deep.equal(
      [],
    );
  });

  it('keeps a target without endpoints, so that clients hear 503 and not "no such service"', () => {
    expect(endpoints([])).to.deep.equal([]);
  });

  it('matches ports by name, because one target port name has other numbers in other pods', () => {
    const ports = [
      { name: 'web', port: 80, targetPort: 'http' },
      { name: 'admin', port: 81, targetPort: 'admin' },
    ];
    const old = slice([at('10.0.0.1')], {
      ports: [
        { name: 'admin', port: 1 },
        { name: 'web', port: 8080 },
      ],
    });
    const young = slice([at('10.0.0.2')], { ports: [{ name: 'web', port: 9090 }] });
    expect(endpoints([old, young], { ports })).to.deep.equal(['10.0.0.1:8080', '10.0.0.2:9090']);
  });

  it('takes the target port where a hand-made slice has a port without number', () => {
    expect(endpoints([slice([at('10.0.0.1')], { ports: [{}] })])).to.deep.equal(['10.0.0.1:8080']);
  });

  it('does not take a UDP slice port for the TCP port of the same name', () => {
    expect(
      endpoints([slice([at('10.0.0.1')], { ports: [{ name: '', port: 53, protocol: 'UDP' }] })]),
    ).to.deep.equal([]);
  });

  it('counts an endpoint of unknown readiness as ready', () => {
    expect(endpoints([slice([{ addresses: ['10.0.0.1'] }])])).to.deep.equal(['10.0.0.1:8080']);
  });

  it('leaves terminating endpoints alone while any other is ready', () => {
    const draining = at('10.0.0.2', { ready: false, serving: true, terminating: true });
    expect(endpoints([slice([at('10.0.0.1'), draining])])).to.deep.equal([
      '10.0.0.1:8080',
      '10.0.0.2:8080 not ready',
    ]);
  });

  it('uses terminating endpoints that still serve when none is ready', () => {
    const draining = at('10.0.0.2', { ready: false, serving: true, terminating: true });
    const broken = at('10.0.0.3', { ready: false, serving: false, terminating: true });
    const starting = at('10.0.0.4', { ready: false, serving: false, terminating: false });
    expect(endpoints([slice([draining, broken, starting])])).to.deep.equal([
      '10.0.0.2:8080',
      '10.0.0.3:8080 not ready',
      '10.0.0.4:8080 not ready',
    ]);
  });

  it('lists an endpoint that is moving between two slices once', () => {
    const before = slice([at('10.0.0.1', { ready: false })]);
    const after = slice([at('10.0.0.1')]);
    expect(endpoints([before, after])).to.deep.equal(['10.0.0.1:8080']);
    expect(endpoints([after, before])).to.deep.equal(['10.0.0.1:8080']);
  });

  it('sends to a dual-stack pod once, in the first family of the Service', () => {
    const four = slice([at('10.0.0.1')]);
    const six = slice([at('fd00::1')], { addressType: 'IPv6' });
    const spec = { ipFamilies: ['IPv6', 'IPv4'] };
    expect(endpoints([four, six], { spec })).to.deep.equal(['fd00::1:8080']);
    expect(endpoints([four, six])).to.deep.equal(['10.0.0.1:8080']);
  });

  it('takes the other family where the first has no endpoints', () => {
    const four = slice([]);
    const six = slice([at('fd00::1')], { addressType: 'IPv6' });
    expect(endpoints([four, six])).to.deep.equal(['fd00::1:8080']);
  });

  it('takes no host names from slices of type FQDN', () => {
    expect(endpoints([slice([at('evil.example')], { addressType: 'FQDN' })])).to.deep.equal([]);
  });

  it('hands on the zone', () => {
    const [target] = serviceTargets(
      service(),
      [slice([{ addresses: ['10.0.0.1'], zone: 'a' }])],
      'cluster.local',
    );
    expect(target?.endpoints).to.deep.equal([{ host: '10.0.0.1', port: 8080, ready: true, zone: 'a' }]);
  });

  it('gives the same order whatever order slices and endpoints come in', () => {
    const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.1.1', '10.0.2.1'];
    fc.assert(
      fc.property(fc.shuffledSubarray(addresses, { minLength: 5 }), fc.nat(5), (order, cut) => {
        const found = endpoints([
          slice(order.slice(0, cut).map((a) => at(a))),
          slice(order.slice(cut).map((a) => at(a))),
        ]);
        expect(found).to.deep.equal(addresses.map((address) => `${address}:8080`));
      }),
    );
  });
});

describe('targets of a headless Service', () => {
  const headless: ServiceShape = { spec: { clusterIP: 'None' } };
  const named = (hostname: string, address: string, ready = true): V1Endpoint => ({
    ...at(address, { ready }),
    hostname,
  });
  const found = (slices: V1EndpointSlice[], shape: ServiceShape = headless) =>
    Object.fromEntries(
      serviceTargets(service(shape), slices, 'west.example').map((target) => [
        `${target.name}:${target.port}`,
        target.endpoints.map((one) => `${one.host}:${one.port}${one.ready ? '' : ' not ready'}`),
      ]),
    );

  it('are the Service and each host name with its own pod, at the port of the Service', () => {
    expect(found([slice([named('web-1', '10.0.0.2'), named('web-0', '10.0.0.1')])])).to.deep.equal({
      'web.demo.svc.west.example:80': ['10.0.0.1:8080', '10.0.0.2:8080'],
      'web-0.web.demo.svc.west.example:80': ['10.0.0.1:8080'],
      'web-1.web.demo.svc.west.example:80': ['10.0.0.2:8080'],
    });
  });

  it('are one for each TCP port of each host, matched by port name', () => {
    const ports = [
      { name: 'web', port: 80, targetPort: 'http' },
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'admin', port: 81, targetPort: 'admin' },
    ];
    const pods = slice([named('web-0', '10.0.0.1')], {
      ports: [
        { name: 'admin', port: 9000 },
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'web', port: 8080 },
      ],
    });
    expect(found([pods], { ...headless, ports })).to.deep.equal({
      'web.demo.svc.west.example:80': ['10.0.0.1:8080'],
      'web.demo.svc.west.example:81': ['10.0.0.1:9000'],
      'web-0.web.demo.svc.west.example:80': ['10.0.0.1:8080'],
      'web-0.web.demo.svc.west.example:81': ['10.0.0.1:9000'],
    });
  });

  it('keep a host whose pod is not ready, so that clients hear 503 and not "no such service"', () => {
    const targets = found([slice([named('web-0', '10.0.0.1', false), named('web-1', '10.0.0.2')])]);
    expect(targets['web-0.web.demo.svc.west.example:80']).to.deep.equal(['10.0.0.1:8080 not ready']);
  });

  it('let a host use its own terminating pod, though pods of other hosts are ready', () => {
    const draining = {
      ...at('10.0.0.1', { ready: false, serving: true, terminating: true }),
      hostname: 'web-0',
    };
    const targets = found([slice([draining, named('web-1', '10.0.0.2')])]);
    expect(targets['web-0.web.demo.svc.west.example:80']).to.deep.equal(['10.0.0.1:8080']);
    expect(targets['web.demo.svc.west.example:80']).to.deep.equal([
      '10.0.0.1:8080 not ready',
      '10.0.0.2:8080',
    ]);
  });

  it('have both pods of one host name, from whatever slices', () => {
    const targets = found([slice([named('web-0', '10.0.0.2')]), slice([named('web-0', '10.0.0.1')])]);
    expect(targets['web-0.web.demo.svc.west.example:80']).to.deep.equal(['10.0.0.1:8080', '10.0.0.2:8080']);
  });

  it('send to a dual-stack host once', () => {
    const six = slice([named('web-0', 'fd00::1')], { addressType: 'IPv6' });
    const targets = found([slice([named('web-0', '10.0.0.1')]), six]);
    expect(targets['web-0.web.demo.svc.west.example:80']).to.deep.equal(['10.0.0.1:8080']);
  });

  it('follow a host name that another pod has taken', () => {
    const before = found([slice([named('web-0', '10.0.0.1'), named('web-1', '10.0.0.2')])]);
    const after = found([slice([named('web-0', '10.0.0.2')])]);
    expect(before['web-0.web.demo.svc.west.example:80']).to.deep.equal(['10.0.0.1:8080']);
    expect(after['web-0.web.demo.svc.west.example:80']).to.deep.equal(['10.0.0.2:8080']);
    expect(after).not.to.have.property('web-1.web.demo.svc.west.example:80');
  });

  it('are only the Service where pods have no host name, or one that a hand-made slice left empty', () => {
    const empty = { ...at('10.0.0.2'), hostname: '' };
    const none = { ...at('10.0.0.3'), hostname: null as unknown as string };
    expect(Object.keys(found([slice([at('10.0.0.1'), empty, none])]))).to.deep.equal([
      'web.demo.svc.west.example:80',
    ]);
  });

  it('are no hosts for a Service with an address of its own', () => {
    const pods = [slice([named('web-0', '10.0.0.1')])];
    expect(Object.keys(found(pods, {}))).to.deep.equal(['web.demo.svc.west.example:80']);
    expect(targetHosts(service(), pods)).to.deep.equal([]);
  });

  it('let the same clients in under every name, and speak the same protocol', () => {
    const annotations = {
      'linkspan.dev/allowed-clients': 'a.example',
      'config.linkerd.io/opaque-ports': '80',
    };
    const targets = serviceTargets(
      service({ ...headless, annotations }),
      [slice([named('web-0', '10.0.0.1')])],
      'west.example',
    );
    expect(targets.map(({ allow, protocol }) => ({ allow, protocol }))).to.deep.equal([
      { allow: ['a.example'], protocol: 'opaque' },
      { allow: ['a.example'], protocol: 'opaque' },
    ]);
  });
});

describe('protocol of a target', () => {
  const table: [string, string | undefined][] = [
    ['kubernetes.io/h2c', 'http2'],
    ['grpc', 'http2'],
    ['http', 'http1'],
    ['HTTP', 'http1'],
    ['kubernetes.io/ws', 'http1'],
    ['https', 'opaque'],
    ['linkerd.io/opaque', 'opaque'],
    ['redis', 'opaque'],
    ['example.com/custom', undefined],
    ['constructor', undefined],
    ['', undefined],
  ];
  for (const [appProtocol, wanted] of table) {
    it(`is ${wanted ?? 'left to the client'} for appProtocol "${appProtocol}"`, () => {
      expect(protocolOf({ appProtocol })).to.equal(wanted);
    });
  }

  const opaque: [string, boolean][] = [
    ['80', true],
    ['3306, 80', true],
    ['79-81', true],
    ['81-90', false],
    ['web', true],
    ['8080', false],
    ['', false],
    ['x,,y', false],
  ];
  for (const [list, wanted] of opaque) {
    it(`is ${wanted ? '' : 'not '}opaque for opaque-ports "${list}"`, () => {
      const annotations = { 'config.linkerd.io/opaque-ports': list };
      const found = protocolOf({ name: 'web', appProtocol: 'http' }, annotations);
      expect(found).to.equal(wanted ? 'opaque' : 'http1');
    });
  }
});

describe('allowed clients of a target', () => {
  const allowOf = (list?: string) =>
    serviceTargets(
      service(list === undefined ? {} : { annotations: { 'linkspan.dev/allowed-clients': list } }),
      [],
      'cluster.local',
    )[0]?.allow;

  it('is everybody of the trust domain without the annotation', () => {
    expect(allowOf()).to.equal(undefined);
  });

  it('is what the annotation lists', () => {
    expect(allowOf(' *.demo.example , spiffe://a/b ')).to.deep.equal(['*.demo.example', 'spiffe://a/b']);
  });

  it('is nobody for an empty annotation: it was meant to restrict', () => {
    expect(allowOf(' , ')).to.deep.equal([]);
  });
});

describe('countEndpoints', () => {
  it('counts an address once, however many slices name it', () => {
    const slices = [slice([at('10.0.0.1'), at('10.0.0.2', { ready: false })]), slice([at('10.0.0.1')])];
    expect(countEndpoints(service(), slices)).to.deep.equal({ ready: 1, known: 2 });
  });

  it('counts the pods of a dual-stack Service once', () => {
    const slices = [slice([at('10.0.0.1')]), slice([at('fd00::1')], { addressType: 'IPv6' })];
    expect(countEndpoints(service(), slices)).to.deep.equal({ ready: 1, known: 1 });
  });
});

describe('countLasting', () => {
  const leaving = { ready: false, serving: true, terminating: true };

  it('counts no endpoint that only serves until it ends', () => {
    const slices = [slice([at('10.0.0.1', leaving), at('10.0.0.2', leaving)])];
    expect(countLasting(service(), slices)).to.equal(0);
    expect(countEndpoints(service(), slices)).to.deep.equal({ ready: 2, known: 2 });
  });

  it('counts those whose readiness is not known', () => {
    expect(countLasting(service(), [slice([at('10.0.0.1'), at('10.0.0.2', leaving)])])).to.equal(1);
  });
});

describe('hasPodSelector', () => {
  it('takes an empty selector for none, as the API server does', () => {
    expect(hasPodSelector(service({ spec: { selector: {} } }))).to.equal(false);
    expect(hasPodSelector(service({ spec: { selector: { app: 'web' } } }))).to.equal(true);
  });
});
