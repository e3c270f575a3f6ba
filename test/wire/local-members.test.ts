import { expect } from 'chai';
import { once } from 'node:events';
import type { TargetEndpoint } from '../../src/exports/target-endpoint.ts';
import type { Shares } from '../../src/egress/shares/group-shares.ts';
import { endpointDial } from '../../src/gateway/endpoint-dial.ts';
import { issueLeaf } from '../../src/identity/authority/issue.ts';
import { eventually } from '../support/eventually.ts';
import { MeshProxy } from '../support/mesh-proxy.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { SetTargets } from '../support/set-targets.ts';

const WEB = 'web.demo.svc.cluster.local';
const RAW = 'raw.demo.svc.cluster.local';
const POD = 'web.demo.serviceaccount.identity.linkerd.cluster.local';

// The pods of the egress' own cluster were not in the group; with a mesh proxy that lets in meshed clients
// only, plain clients of the federated Service reached them never.
describe("pods of the egress' own cluster that are members of a group", () => {
  let relay: Relay;
  let targets: SetTargets;
  let proxy: MeshProxy;
  let plain: Origin;
  /** Groups whose shares somebody follows. */
  const followed = new Set<string>();
  const shares: Shares = {
    of: () => undefined,
    watch: (service) => void followed.add(service),
    unwatch: (service) => void followed.delete(service),
  };

  before(async () => {
    targets = new SetTargets();
    relay = await startRelay({
      specs: [],
      services: [
        { name: WEB, members: {}, local: [80] },
        { name: RAW, members: {}, local: [80], protocol: 'opaque' },
      ],
      egress: { local: { targets, dial: endpointDial }, shares },
    });
    proxy = await MeshProxy.start(await issueLeaf(relay.local.issuer, { identity: POD }));
    plain = await http1Origin();
  });
  after(async () => {
    await relay.close();
    proxy.close();
    plain.close();
  });
  beforeEach(() => {
    proxy.hellos.length = 0;
  });

  const meshed = (): TargetEndpoint => ({
    host: '127.0.0.1',
    port: proxy.port,
    ready: true,
    mesh: { identity: POD, port: proxy.port, opaque: false },
  });

  for (const kind of ['http1', 'http2'] as const)
    it(`are spoken to as their mesh does (${kind}), as the egress`, async () => {
      targets.set(WEB, [meshed()]);
      const { status, body } = await relay.client.request(kind, WEB, { path: '/page' });
      expect(status, String(body)).to.equal(200);
      expect((JSON.parse(String(body)) as { httpVersion: string }).httpVersion).to.equal('2.0');
      for (const hello of proxy.hellos)
        expect(hello).to.deep.equal({ sni: POD, alpn: '', client: 'egress.east' });
    });

  it('get raw connections behind a header that names their port only', async () => {
    targets.set(RAW, [meshed()]);
    const socket = await relay.client.connect(RAW);
    socket.write('x');
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += String(chunk)));
    await eventually('it answers', () => said === 'greeting x');
    expect(proxy.hellos).to.have.length(1);
    expect(proxy.hellos[0]?.header).to.include({ name: '', port: proxy.port });
    const gone = once(socket, 'close');
    socket.destroy();
    await gone;
  });

  it('are spoken to plainly without one, and followed when they change', async () => {
    const endpoint = { host: '127.0.0.1', port: plain.port, ready: true };
    targets.set(WEB, [endpoint]);
    expect((await relay.client.request('http1', WEB, { path: '/hello' })).status).to.equal(200);
    expect(proxy.hellos).to.deep.equal([]);
    targets.set(WEB, [{ ...endpoint, ready: false }]);
    targets.set(WEB, []);
    const refused = await relay.client.request('http1', WEB, { path: '/hello' });
    expect([502, 503, 504]).to.include(refused.status);
    targets.set(WEB, [endpoint]);
    expect((await relay.client.request('http1', WEB, { path: '/hello' })).status).to.equal(200);
  });

  // Routes come and go for as long as an egress runs: what follows a group must go with the last of its
  // flows.
  it('are let go of with their route, and found again', async () => {
    expect(followed.size).to.equal(2);
    const services = [{ name: RAW, members: {}, local: [80], protocol: 'opaque' }] as const;
    relay.say(services);
    await eventually('the group is let go of', () => followed.size === 1);
    relay.say([{ name: WEB, members: {}, local: [80] }, ...services]);
    await eventually('it is followed again', () => followed.size === 2);
    await eventually('it is served again', async () => {
      const asked = relay.client.request('http1', WEB, { path: '/hello' });
      return (
        (await asked.then(
          ({ status }) => status,
          () => 0,
        )) === 200
      );
    });
  });

  it('are counted as a member of their own', () => {
    const { groups } = relay.egress.counters.snapshot();
    expect(groups[`demo/${WEB}:80`]?.backends['local']?.served).to.be.greaterThan(2);
  });
});
