import { expect } from 'chai';
import { once } from 'node:events';
import type { TargetSpec } from '../../../src/discovery/target-spec.ts';
import type { TargetEndpoint } from '../../../src/exports/target-endpoint.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../../src/identity/authority/issue.ts';
import type { ClientKind } from '../../support/service-client.ts';
import { type LocalGateway, localGateway } from '../../support/local-gateway.ts';
import { MeshProxy } from '../../support/mesh-proxy.ts';
import { http1Origin, type Origin } from '../../support/origins.ts';

const POD = 'web.demo.serviceaccount.identity.linkerd.cluster.local';
const NAME = 'web.demo.svc.cluster.local';

interface Facts {
  readonly httpVersion: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * A pod's proxy with the policy "meshed clients only" refuses whoever does not come as a proxy of the mesh
 * does; what it does not look into has to be named.
 */
describe('gateway before meshed pods', () => {
  let gateway: LocalGateway;
  let proxy: MeshProxy;
  let plain: Origin;

  before(async () => {
    gateway = await localGateway([]);
    proxy = await MeshProxy.start(await issueLeaf(gateway.issuer, { identity: POD }));
    plain = await http1Origin('plain');
  });
  after(async () => {
    await gateway.close();
    proxy.close();
    plain.close();
  });
  beforeEach(() => {
    proxy.hellos.length = 0;
  });

  const meshed = (opaque = false, identity = POD): TargetEndpoint => ({
    host: '127.0.0.1',
    port: proxy.port,
    ready: true,
    mesh: { identity, port: proxy.port, opaque },
  });
  const serve = (endpoints: readonly TargetEndpoint[], rules: Partial<TargetSpec> = {}) => {
    gateway.serve([]);
    gateway.serve([{ name: NAME, port: 80, endpoints, ...rules }]);
  };
  const ask = async (kind: ClientKind): Promise<Facts> => {
    const { status, body } = await gateway.client.request(kind, NAME, { path: '/page' });
    expect(status, body.toString()).to.equal(200);
    return JSON.parse(body.toString()) as Facts;
  };

  for (const kind of ['http1', 'http1-upgraded'] as const) {
    it(`carries a request of an HTTP/1 application (${kind}) over HTTP/2, and tells the proxy what it was`, async () => {
      serve([meshed()]);
      const { httpVersion, headers } = await ask(kind);
      expect(httpVersion).to.equal('2.0');
      expect(headers).to.include({ 'l5d-orig-proto': 'HTTP/1.1', ':authority': NAME });
      expect(proxy.hellos).to.deep.equal([{ sni: POD, alpn: '', client: 'gateway.west' }]);
    });
  }

  it('says HTTP/1 for a Service whose pods speak that, whatever the client speaks', async () => {
    serve([meshed()], { protocol: 'http1' });
    expect((await ask('http2')).headers).to.include({ 'l5d-orig-proto': 'HTTP/1.1' });
  });

  it('carries HTTP/2 as it is', async () => {
    serve([meshed()]);
    const { httpVersion, headers } = await ask('http2');
    expect(httpVersion).to.equal('2.0');
    expect(headers).not.to.have.property('l5d-orig-proto');
  });

  it('needs one connection for many requests', async () => {
    serve([meshed()]);
    await Promise.all(Array.from({ length: 20 }, () => ask('http2')));
    await ask('http1');
    expect(proxy.hellos).to.have.length(1);
  });

  it('carries an upgrade over HTTP/1 inside mTLS', async () => {
    serve([meshed()]);
    const socket = await gateway.client.connect(NAME, 80, 'http1');
    socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n');
    expect(String((await once(socket, 'data'))[0])).to.match(/^HTTP\/1\.1 101 /);
    socket.write('there and back');
    expect(String((await once(socket, 'data'))[0])).to.equal('there and back');
    socket.destroy();
    expect(proxy.hellos[0]?.alpn).to.equal('');
  });

  it("names the application's port, and nothing else, for raw bytes; the server may speak first", async () => {
    serve([meshed()]);
    const socket = await gateway.client.connect(NAME, 80, 'opaque');
    expect(String((await once(socket, 'data'))[0])).to.equal('greeting ');
    socket.destroy();
    expect(proxy.hellos).to.deep.equal([
      {
        sni: POD,
        alpn: 'transport.l5d.io/v1',
        client: 'gateway.west',
        header: { name: '', port: proxy.port, protocol: 'opaque' },
      },
    ]);
  });

  it('sends HTTP to an opaque port as the bytes that the application reads', async () => {
    serve([meshed(true)]);
    const { status } = await gateway.client.request('http1', NAME, { path: '/' });
    // The fake application greets first, which is no HTTP: that it was asked in its own protocol is what
    // counts.
    expect(status).to.equal(502);
    expect(proxy.hellos[0]?.header).to.deep.equal({ name: '', port: proxy.port, protocol: 'opaque' });
  });

  it('serves pods with and without a proxy under one name', async () => {
    serve([meshed(), { host: '127.0.0.1', port: plain.port, ready: true }]);
    const versions = new Set<string>();
    for (let i = 0; i < 40; i++) {
      const { body } = await gateway.client.request('http1', NAME, { path: '/facts' });
      versions.add((JSON.parse(body.toString()) as Facts).httpVersion);
    }
    expect([...versions].sort()).to.deep.equal(['1.1', '2.0']);
  });

  it('sends nothing to who is not the pod that was meant', async () => {
    serve([meshed(false, 'db.demo.serviceaccount.identity.linkerd.cluster.local')]);
    const { status } = await gateway.client.request('http1', NAME, { path: '/' });
    expect(status).to.equal(502);
    const stranger = await issueLeaf(await createIssuer(await createAnchor({}), {}), { identity: POD });
    const impostor = await MeshProxy.start(stranger);
    serve([{ ...meshed(), port: impostor.port }]);
    expect((await gateway.client.request('http2', NAME, { path: '/' })).status).to.equal(502);
    expect([...proxy.hellos, ...impostor.hellos]).to.deep.equal([]);
    impostor.close();
  });
});
