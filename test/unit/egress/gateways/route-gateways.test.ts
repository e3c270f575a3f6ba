import { expect } from 'chai';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { GatewayAddresses } from '../../../../src/egress/gateways/gateway-addresses.ts';
import { GatewayPools } from '../../../../src/egress/gateways/gateway-pools.ts';
import { GroupGateways, SingleGateway } from '../../../../src/egress/gateways/route-gateways.ts';
import { type GroupRoute, memberLabel } from '../../../../src/egress/routes/route.ts';
import type { Division } from '../../../../src/egress/shares/division.ts';
import type { Shares } from '../../../../src/egress/shares/group-shares.ts';
import type { IdentitySource } from '../../../../src/identity/sources/identity.ts';
import type { HostNames } from '../../../../src/dns/host-names.ts';
import type { SessionProtocol } from '../../../../src/proxy/http/messages.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { eventually } from '../../../support/eventually.ts';
import { fixedIdentity } from '../../../support/fixed-identity.ts';
import { freePorts } from '../../../support/free-port.ts';
import { listedNames, noNames } from '../../../support/host-names.ts';
import { keptAuthority } from '../../../support/kept-authority.ts';
import { VirtualClock } from '../../../support/virtual-clock.ts';

const PROTOCOLS: readonly SessionProtocol[] = ['http1', 'http2', 'opaque'];
const LABEL = 'demo/web-federated:80';

// Three targets for each cluster of each Service, before anybody spoke to it, took 16 KiB for each.
describe('the gateways of a group', () => {
  let clock: VirtualClock;
  let counters: ProxyCounters;
  let pools: GatewayPools;
  let division: Division | undefined;
  let divided: () => void;

  beforeEach(async () => {
    clock = new VirtualClock();
    counters = new ProxyCounters({ clock });
    division = undefined;
    pools = poolsOf(fixedIdentity(await keptAuthority.leaf('egress.east')));
  });
  const poolsOf = (identity: IdentitySource) =>
    new GatewayPools({ identity, counters, clock, random: () => 0, log: captureLog().log });

  afterEach(() => pools.destroy());

  const routeTo = (clusters: Readonly<Record<string, number>>, host = '127.0.0.1'): GroupRoute => ({
    label: LABEL,
    namespace: 'demo',
    listenPort: 1,
    protocol: undefined,
    service: 'demo/web-federated',
    members: Object.entries(clusters).map(([cluster, port]) => ({
      cluster,
      label: memberLabel(LABEL, cluster),
      name: 'web.demo.svc.cluster.local',
      port: 80,
      gateway: { addresses: [host], port, identity: `gateway.${cluster}` },
    })),
  });
  const shares: Shares = {
    of: () => division,
    watch: (_, listener) => {
      divided = () => listener.sharesChanged();
    },
    unwatch: () => undefined,
  };
  const open = (route: GroupRoute, names: HostNames = noNames(clock)): GroupGateways => {
    const addresses = new GatewayAddresses(names);
    const { log } = captureLog();
    return new GroupGateways(route, { pools, counters, clock, random: () => 0, log, addresses, shares });
  };
  const namesOf = (gateways: GroupGateways, protocol: SessionProtocol) =>
    gateways.target(protocol).backends.flatMap(({ name, isUsed }) => (isUsed ? [name] : []));
  const say = (...used: string[]) => {
    const told = used.map((name) => ({
      name,
      share: 1,
      order: 0,
      weight: 1,
      tier: 0,
      state: 'Active' as const,
    }));
    division = { backends: told, refused: 0 };
    divided();
  };

  it('are the same for a protocol each time, and others for another one', () => {
    const gateways = open(routeTo({ north: 1, west: 2 }));
    for (const protocol of PROTOCOLS) expect(gateways.target(protocol)).to.equal(gateways.target(protocol));
    expect(new Set(PROTOCOLS.map((protocol) => gateways.target(protocol))).size).to.equal(3);
    gateways.close();
  });

  it('are counted before anybody speaks to them', () => {
    const gateways = open(routeTo({ north: 1, west: 2 }));
    const none = { served: 0, failed: 0, moved: 0 };
    expect(counters.snapshot().groups[LABEL]?.backends).to.deep.equal({ north: none, west: none });
    gateways.follow(routeTo({ north: 1, south: 3, west: 2 }));
    expect(counters.snapshot().groups[LABEL]?.backends).to.have.keys('north', 'south', 'west');
    gateways.close();
  });

  it('are divided as was said before a protocol was first spoken, and after it', () => {
    const gateways = open(routeTo({ north: 1, south: 2, west: 3 }));
    gateways.start();
    say('north', 'west');
    expect(namesOf(gateways, 'http1')).to.deep.equal(['north', 'west']);
    say('south');
    expect(namesOf(gateways, 'http1')).to.deep.equal(['south']);
    expect(namesOf(gateways, 'http2')).to.deep.equal(['south']);
    gateways.follow(routeTo({ north: 1, west: 3 }));
    expect(PROTOCOLS.map((protocol) => namesOf(gateways, protocol).join())).to.deep.equal(
      PROTOCOLS.map(() => 'north,west'),
    );
    gateways.close();
  });

  it('have the addresses that were known before, and hear of others', async () => {
    const answers: Record<string, readonly string[]> = { 'gw.west.example': ['10.1.0.1'] };
    const names = listedNames(answers, clock);
    // Without a certificate nobody is dialled.
    pools = poolsOf(fixedIdentity(undefined));
    const gateways = open(routeTo({ north: 1, west: 2 }, 'gw.west.example'), names);
    const spoken = () =>
      PROTOCOLS.map((one) => gateways.target(one).backends.map(({ target }) => target.standing));
    const hosts = () => gateways.endpoints.map(({ host }) => host).join();
    gateways.target('http1');
    gateways.start();
    await eventually('the name is known', () => hosts() === '10.1.0.1,10.1.0.1');
    // A target without an address would be `closed`.
    expect(spoken()).to.deep.equal(PROTOCOLS.map(() => ['unproven', 'unproven']));
    answers['gw.west.example'] = ['10.1.0.2'];
    await clock.advance(60_000);
    await eventually('its new address is known', () => hosts() === '10.1.0.2,10.1.0.2');
    gateways.close();
    expect(gateways.endpoints).to.deep.equal([]);
  });

  it('are connected to before anybody speaks to them', async () => {
    const sockets: string[] = [];
    const server = net.createServer((socket) => {
      sockets.push(socket.remoteAddress ?? '');
      socket.destroy();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const gateways = open(routeTo({ north: port, west: port }));
    gateways.start();
    await eventually('each was tried', () => sockets.length === 2);
    gateways.close();
    const { log } = captureLog();
    const options = {
      pools,
      counters,
      clock,
      random: () => 0,
      log,
      addresses: new GatewayAddresses(noNames(clock)),
    };
    const [member] = routeTo({ south: port }).members;
    if (member === undefined) expect.fail('there is one');
    const alone = new SingleGateway(
      {
        ...member,
        label: LABEL,
        namespace: 'demo',
        listenPort: 1,
        targetCluster: 'south',
        protocol: undefined,
      },
      options,
    );
    alone.start();
    expect(pools.reports().map(({ state, attempts }) => [state, attempts])).to.deep.equal([['unknown', 0]]);
    alone.close();
    server.close();
  });

  it('send nothing to a cluster that is known to be dead by a protocol that is first spoken later', async () => {
    const [north = 0, west = 0] = await freePorts(2);
    const gateways = open(routeTo({ north, west }));
    gateways.start();
    const open2 = () => gateways.target('http2').pickOpen([], clock.monotonic());
    for (const { target } of gateways.target('http1').backends)
      await target.leaseOrFail(false, 'http1').then(
        () => expect.fail('nobody listens there'),
        () => undefined,
      );
    expect(open2()).to.equal(undefined);
    gateways.close();
  });

  for (const spoken of [[], ['http1']] as const)
    it(`end, whichever protocols were spoken (${spoken.join() || 'none'}), and send nothing afterwards`, async () => {
      const gateways = open(routeTo({ north: 1, west: 2 }));
      gateways.start();
      for (const protocol of spoken) gateways.target(protocol);
      expect(pools.reports()).to.have.length(2);
      gateways.stop();
      gateways.close();
      expect(pools.reports()).to.deep.equal([]);
      for (const protocol of PROTOCOLS)
        for (const { target } of gateways.target(protocol).backends)
          await target.leaseOrFail(false, 'http1').then(
            () => expect.fail('it was closed'),
            ({ message }: Error) => expect(message).to.match(/^no ready endpoints/),
          );
    });
});
