import { expect } from 'chai';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { STREAMS_ALPN, TRANSPORT_HEADER_ALPN } from '../../../../src/api/names.ts';
import { systemClock } from '../../../../src/base/clock.ts';
import { checkGatewayDial } from '../../../../src/egress/gateways/gateway-dial-check.ts';
import { GatewayPool } from '../../../../src/egress/gateways/gateway-pool.ts';
import type { Identity, IdentitySource } from '../../../../src/identity/sources/identity.ts';
import { type Authority, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import { OpenPeers } from '../../../../src/identity/trust/open-peers.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { targetField } from '../../../../src/proxy/streams/stream-head.ts';
import { accountIn, freeAuthority, leafOf } from '../../../support/authorities.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { closedIn } from '../../../support/closed-in.ts';
import { eventually } from '../../../support/eventually.ts';
import { fixedIdentity } from '../../../support/fixed-identity.ts';

const EAST = 'east.cluster.local';
const WEST = 'west.cluster.local';
const GATEWAY = accountIn(WEST, 'linkerd-gateway', 'linkerd-multicluster');

/**
 * The egress sends every client's requests, with their tokens, to whom it takes for west's gateway. A
 * partner's authority, or a certificate that has west's name among others, must not be enough for that.
 */
describe('whom the egress takes for a gateway', () => {
  const closed = closedIn(afterEach);
  let ours: Authority;
  let west: Authority;
  let partner: Authority;
  let own: Identity;

  before(async () => {
    [ours, west, partner] = await Promise.all([
      freeAuthority('ours'),
      freeAuthority('west'),
      freeAuthority('partner'),
    ]);
    own = {
      ...(await issueLeaf(ours, { identity: accountIn(EAST, 'linkspan-egress') })),
      ca: ours.ca + west.ca + partner.ca,
      bound: [
        { domain: WEST, pem: west.ca },
        { domain: 'partner.example', pem: partner.ca },
      ],
    };
  });

  async function listen(leaf: Identity, alpn = [STREAMS_ALPN, TRANSPORT_HEADER_ALPN]) {
    const sockets = new Set<tls.TLSSocket>();
    const server = closed(
      tls.createServer({
        cert: leaf.cert,
        key: leaf.key,
        ca: ours.ca,
        requestCert: true,
        ALPNProtocols: alpn,
      }),
      (one) => {
        one.close();
        for (const socket of sockets) socket.destroy();
      },
    );
    server.on('secureConnection', (socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.resume();
    });
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { port: (server.address() as AddressInfo).port, sockets };
  }
  async function tried(leaf: Identity, identity = own): Promise<string> {
    const { port } = await listen(leaf);
    const place = { host: '127.0.0.1', port, identity: GATEWAY };
    const { ok, message } = await checkGatewayDial(place, {
      identity: fixedIdentity(identity),
      clock: systemClock,
    });
    return ok ? 'believed' : message;
  }

  it("believes the gateway that west's authority names", async () => {
    expect(await tried(await issueLeaf(west, { identity: GATEWAY }))).to.equal('believed');
  });

  it("does not believe a partner's authority about west's gateway", async () => {
    expect(await tried(await issueLeaf(partner, { identity: GATEWAY }))).to.match(/may not name/);
  });

  it('goes by the first name of a certificate, as the gateway does with its clients', async () => {
    expect(await tried(await leafOf(west, [GATEWAY, accountIn(WEST)]))).to.equal('believed');
    expect(await tried(await leafOf(west, [accountIn(WEST), GATEWAY]))).to.match(
      /it proved web\.demo\.\S+ instead of linkerd-gateway/,
    );
  });

  for (const [way, alpn] of [
    ['in stream mode', [STREAMS_ALPN]],
    ['with a transport header', [TRANSPORT_HEADER_ALPN]],
  ] as const)
    it(`ends its connections ${way} when the anchor of the gateway is taken away, and makes no new ones`, async () => {
      let identity = own;
      const listeners = new Set<() => void>();
      const source: IdentitySource = {
        ...fixedIdentity(own),
        current: () => identity,
        subscribe: (listener) => {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      };
      const { port, sockets } = await listen(await issueLeaf(west, { identity: GATEWAY }), [...alpn]);
      const shared = { identity: source, clock: systemClock, random: Math.random, log: captureLog().log };
      const peers = closed(new OpenPeers(shared), (one) => one.close());
      const pool = closed(
        new GatewayPool(
          { host: '127.0.0.1', port, identity: GATEWAY },
          {
            ...shared,
            counters: new ProxyCounters(),
            onProven: (connection, socket) => peers.add(connection, socket),
          },
        ),
        (one) => one.destroy(),
      );
      const target = { name: 'web', port: 80, label: 'web', field: targetField('web:80') };
      await pool.open(target, 'opaque');
      expect(peers.size).to.equal(1);
      identity = { ...own, ca: ours.ca + partner.ca, bound: own.bound?.slice(1) ?? [] };
      for (const listener of listeners) listener();
      await eventually('the connection ends', () => [...sockets].every(({ destroyed }) => destroyed));
      const failure: unknown = await pool.open(target, 'opaque').catch((error: unknown) => error);
      expect(String(failure)).to.match(/certificate|trust/);
    });
});
