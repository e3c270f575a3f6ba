import { expect } from 'chai';
import { systemClock } from '../../src/base/clock.ts';
import type { HostNames } from '../../src/dns/host-names.ts';
import { systemLookUp } from '../../src/dns/system-look-up.ts';
import type { Route } from '../../src/egress/routes/route.ts';
import { type RelayedService, routeOf } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { freePorts } from '../support/free-port.ts';
import { namesOf } from '../support/host-names.ts';
import { apply, installCrd, linkObjects, startController } from '../support/linked-clusters.ts';
import { NameServer, type Said } from '../support/name-server.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { PlainClient } from '../support/plain-client.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { address } from '../testbed/netns.ts';
import { createNamespace, sharedClusters } from '../testbed/shared.ts';

const WEB = 'web.demo.svc.cluster.local';
const GATEWAY = 'gw.example.test';
const ROUTES = 300;
/** As kubelet writes it for a pod: eight queries until a name of three labels is found. */
const POD = `search linkspan.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
`;
const QUERIES = 8;
const wait = { everyMs: 50 };

// Cloud load balancers have host names. One Link with 300 mirrored ports asked for one name 160 times a
// second, and one name whose name server was silent kept the mirrors of every other Link down for minutes.
describe('gateways with host names', () => {
  let origin: Origin;
  let server: NameServer;
  let names: HostNames;
  let relay: Relay;
  let client: PlainClient;
  let ports: number[];
  let said: (name: string) => Said;

  /** Routes to the gateway of `host(index)`, one for each port. */
  const serve = (host: (index: number) => string) => {
    const routes = ports.map((port, index): [number, Route] => {
      const service: RelayedService = { name: WEB };
      const gateway = { addresses: [host(index)], port: relay.local.port, identity: 'gateway.west' };
      return [port, routeOf(service, port, gateway)];
    });
    relay.egress.update(new Map(routes));
  };
  const ask = async () => {
    const { status } = await client.request('http1', WEB, { path: '/hello' });
    return status === 200;
  };

  before(async () => {
    origin = await http1Origin();
    ports = await freePorts(ROUTES + 1);
  });
  after(() => origin.close());
  beforeEach(async () => {
    said = (name) => (name === GATEWAY ? { addresses: [address(5)] } : 'NXDOMAIN');
    server = await NameServer.start((name) => said(name));
    const read = (file: string) => (file === '/etc/hosts' ? '' : POD);
    names = namesOf(systemLookUp({ clock: systemClock, servers: [server.address], read }), systemClock);
    relay = await startRelay({
      specs: [
        {
          name: WEB,
          port: 80,
          protocol: 'http1',
          endpoints: [{ host: '127.0.0.1', port: origin.port, ready: true }],
        },
      ],
      services: [],
      gateway: { listen: { host: address(5), port: 0 } },
      egress: { names },
    });
    // The last one, so that all others were opened before it.
    client = new PlainClient(new Map([[`${WEB}:80`, ports.at(-1) ?? 0]]));
  });
  afterEach(async () => {
    client.close();
    await relay.close();
    await server.stop();
  });

  it('are asked for once for all ports that lead there', async () => {
    serve(() => GATEWAY);
    await eventually('the last route is served', ask);
    expect(server.queries.toSorted()).to.have.length(QUERIES);
    // Ports come and go all day; what is known is not asked for again.
    serve((index) => (index % 2 === 0 ? GATEWAY : address(6)));
    serve(() => GATEWAY);
    await eventually('the last route is served again', ask);
    expect(server.queries).to.have.length(QUERIES);
  });

  it('are served while 300 others get no answer', async () => {
    said = (name) =>
      name === GATEWAY ? { addresses: [address(5)] } : name.includes('silent') ? 'silent' : 'NXDOMAIN';
    serve((index) => (index === ROUTES ? GATEWAY : `silent-${index}.example.test`));
    await eventually('the healthy route is served', ask);
    expect(names.states).to.deep.equal({ resolved: 1, stale: 0, unresolved: 0 });
    serve(() => GATEWAY);
    expect(names.states, 'nobody wants to know about the others').to.deep.equal({
      resolved: 1,
      stale: 0,
      unresolved: 0,
    });
  });

  it('are reached at their IPv6 addresses, too, and never at those of this machine', async () => {
    said = () => ({ addresses: ['127.0.0.1', '::1', 'fd00:200::5', address(5)] });
    serve(() => GATEWAY);
    await eventually('it is served', ask);
    const tried = await relay.egress.tryGateways();
    const { port } = relay.local;
    expect(tried.map(({ gateway }) => gateway).sort()).to.deep.equal([
      `${address(5)}:${port}`,
      `fd00:200::5:${port}`,
    ]);
  });
});

// getaddrinfo, by which Node connects to a host name, has two threads for the whole process: a Link whose API
// server's name nobody answered for kept the controller from those of all other Links.
describe('an API server with a host name', () => {
  it('is followed while those of 30 other Links get no answer', async () => {
    const { east, west } = await sharedClusters();
    await installCrd(east);
    const links = await createNamespace(east, 'names');
    const server = await NameServer.start((name) =>
      name.startsWith('silent') ? 'silent' : { addresses: [west.address] },
    );
    const read = () => '';
    const names = namesOf(systemLookUp({ clock: systemClock, servers: [server.address], read }), systemClock);
    const linkTo = (cluster: string, host: string) =>
      linkObjects(west, links, cluster).map((object) => {
        const { data } = object as { data?: { kubeconfig: string } };
        if (data === undefined) return object;
        const text = Buffer.from(data.kubeconfig, 'base64').toString();
        const named = text.replace(`//${west.address}:`, `//${host}:`);
        const kubeconfig = named.replace(/^( *)server:/m, '$1tls-server-name: localhost\n$&');
        return { ...object, data: { kubeconfig: Buffer.from(kubeconfig).toString('base64') } };
      });
    const silent = Array.from({ length: 30 }, (_, i) => linkTo(`s${i}`, `silent-${i}.example.test`));
    await apply(east, ...silent.flat(), ...linkTo('west', 'api.example.test'));
    const controller = startController(east, { namespace: links }, { names });
    const runOf = (cluster: string) => controller.runs.get(`${links}/${cluster}`)?.peer;
    try {
      await eventually(
        'the healthy Link is synced',
        () => Promise.resolve(runOf('west')?.synced === true),
        wait,
      );
      const asked = () =>
        silent.filter((_, i) => server.queries.includes(`A silent-${i}.example.test`)).length;
      await eventually(
        'the others are tried as well',
        () => Promise.resolve(asked() === silent.length),
        wait,
      );
      expect(runOf('s0')?.synced).to.equal(false);
    } finally {
      await controller.stop();
      await server.stop();
    }
  });
});
