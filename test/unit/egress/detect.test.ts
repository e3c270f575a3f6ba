import { expect } from 'chai';
import { detectProtocol } from '../../../src/egress/detect.ts';
import { routesOf } from '../../../src/egress/routes.ts';

describe('protocol detection', () => {
  const cases: readonly [string, string | undefined][] = [
    ['GET / HTTP/1.1\r\n', 'http1'],
    ['POST /x HTTP/1.0\r\nhost: a', 'http1'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http2'],
    ['G', undefined],
    ['GET /very/long', undefined],
    ['GET / HTTP/1.1\r', undefined],
    ['PRI * HTTP/2.0\r\n', undefined],
    ['\x16\x03\x01', 'opaque'],
    ['hello\n', 'opaque'],
    ['GET / FTP/1.1\r\n', 'opaque'],
    [`GET /${'a'.repeat(9000)}`, 'opaque'],
  ];
  for (const [text, expected] of cases) {
    it(`${JSON.stringify(text.slice(0, 30))} is ${expected ?? 'not decided yet'}`, () => {
      expect(detectProtocol(Buffer.from(text, 'latin1'))).to.equal(expected);
    });
  }
});

describe('egress routes', () => {
  const mirror = (name: string, annotations: Record<string, string>, created = '2026-01-01T00:00:00Z') => ({
    metadata: {
      name,
      namespace: 'demo',
      uid: name,
      creationTimestamp: new Date(created),
      labels: { 'mirror.linkerd.io/mirrored-service': 'true', 'mirror.linkerd.io/cluster-name': 'west' },
      annotations: {
        'mirror.linkerd.io/remote-svc-fq-name': 'web.demo.svc.cluster.local',
        'linkspan.dev/data-path': 'relay',
        ...annotations,
      },
    },
    spec: { ports: [{ port: 80, appProtocol: 'http' }] },
  });
  const link = {
    metadata: { name: 'west' },
    spec: {
      targetClusterName: 'west',
      gatewayAddress: '10.0.0.1, gw.example,10.0.0.1',
      gatewayPort: '4143',
      gatewayIdentity: 'gw',
    },
  };

  it('are what mirror and Link say together', () => {
    const routes = routesOf([mirror('web-west', { 'linkspan.dev/egress-ports': '{"80":12000}' })], [link]);
    expect(routes.get(12_000)).to.deep.equal({
      label: 'demo/web-west:80',
      listenPort: 12_000,
      name: 'web.demo.svc.cluster.local',
      port: 80,
      protocol: 'http1',
      gateway: { addresses: ['10.0.0.1', 'gw.example'], port: 4143, identity: 'gw' },
    });
  });

  it('are none where something is missing or wrong', () => {
    const good = mirror('web-west', { 'linkspan.dev/egress-ports': '{"80":12000}' });
    expect(routesOf([good], []).size).to.equal(0);
    expect(routesOf([good], [{ ...link, spec: { ...link.spec, gatewayPort: 'abc' } }]).size).to.equal(0);
    expect(routesOf([mirror('a', { 'linkspan.dev/egress-ports': 'rubbish' })], [link]).size).to.equal(0);
    expect(
      routesOf(
        [mirror('a', { 'linkspan.dev/data-path': 'gateway', 'linkspan.dev/egress-ports': '{"80":12000}' })],
        [link],
      ).size,
    ).to.equal(0);
  });

  it('leave a port to the older of two mirrors', () => {
    const ports = { 'linkspan.dev/egress-ports': '{"80":12000}' };
    const routes = routesOf(
      [mirror('young-west', ports, '2026-02-01T00:00:00Z'), mirror('old-west', ports)],
      [link],
    );
    expect(routes.get(12_000)?.label).to.equal('demo/old-west:80');
  });
});
