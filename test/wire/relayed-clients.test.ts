import { expect } from 'chai';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { EgressProcess } from '../support/egress-process.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { pod } from '../support/listed-clients.ts';
import { http1Origin, http2Origin, type Origin, rawOrigin } from '../support/origins.ts';
import type { PlainClient } from '../support/plain-client.ts';
import { echoOf } from '../support/raw-echo.ts';
import { type Runtime, RUNTIMES } from '../support/runtime-process.ts';

const service = (name: string) => `${name}.demo.svc.cluster.local`;
const EAST = 'serviceaccount.identity.linkerd.east.example';
const EGRESS = `linkspan-egress.linkerd-multicluster.${EAST}`;
const SHOP = '127.0.0.11';
const OTHER = '127.0.0.12';
const NODE = '127.0.0.13';

// A tenant whose pods may not reach a mirror reached it all the same, at the egress' port, whatever
// NetworkPolicy stood before it; and to the other cluster everybody was the egress, so that whom it let in,
// how much, and what it logged, was about nobody in particular.
for (const runtime of RUNTIMES)
  describe(`Clients of a relay, on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-clients-'));
    const origins: Origin[] = [];
    let stubborn: http.Server;
    let gateway: GatewayProcess;
    let egress: EgressProcess;
    /** The same cluster's second egress, of an account that the gateway does not list. */
    let unlisted: EgressProcess;
    let shop: PlainClient;
    let other: PlainClient;
    let node: PlainClient;

    before(async function () {
      const issuer = await createIssuer(await createAnchor({}), {});
      const [h1, h2, raw] = [await http1Origin('h1'), await http2Origin('h2'), await rawOrigin()];
      origins.push(h1, h2, raw);
      // Node's server takes a request that asks for an upgrade as any other where nobody listens for
      // upgrades.
      stubborn = http.createServer((request, response) => response.end(request.headers['l5d-client-id']));
      await once(stubborn.listen(0, '127.0.0.1'), 'listening');
      const onlyShop = { allow: [`web.shop.${EAST}`] };
      gateway = await GatewayProcess.start({
        runtime,
        dir: path.join(dir, 'gateway'),
        identity: await issueLeaf(issuer, {
          identity: `gateway.linkerd.serviceaccount.identity.linkerd.west`,
        }),
        targets: [
          { name: service('open'), ports: [h1.port] },
          { name: service('open2'), ports: [h2.port] },
          { name: service('stubborn'), ports: [(stubborn.address() as AddressInfo).port] },
          { name: service('private'), ports: [h1.port] },
          { name: service('private'), port: 7, ports: [raw.port] },
          { name: service('locked'), ports: [h1.port], rules: onlyShop },
          { name: service('locked'), port: 7, ports: [raw.port], rules: onlyShop },
          {
            name: service('limited'),
            ports: [h1.port],
            rateLimit: { perClient: '0.001/s burst 1' },
          },
        ],
        flags: ['--trusted-relays', EGRESS, '--allow-trust-domain', 'east.example', '--access-log', 'all'],
      });
      const start = async (identity: string) =>
        EgressProcess.start({
          runtime: runtime as Runtime,
          dir: path.join(dir, identity.split('.')[0] ?? ''),
          identity: await issueLeaf(issuer, { identity }),
          gateway: {
            addresses: ['127.0.0.1'],
            port: gateway.port,
            identity: 'gateway.linkerd.serviceaccount.identity.linkerd.west',
          },
          pods: {
            [SHOP]: [pod('shop', 'web')],
            [OTHER]: [pod('other', 'web')],
            [NODE]: [pod('shop', 'web', { hostNetwork: true })],
          },
          services: [
            { name: service('open') },
            { name: service('open2') },
            { name: service('stubborn') },
            { name: service('private'), namespace: 'mine', allowedNamespaces: ['shop'] },
            {
              name: service('private'),
              port: 7,
              protocol: 'opaque',
              namespace: 'mine',
              allowedNamespaces: ['shop'],
            },
            { name: service('locked') },
            { name: service('locked'), port: 7, protocol: 'opaque' },
            { name: service('limited') },
          ],
        });
      egress = await start(EGRESS);
      unlisted = await start(`second-egress.linkerd-multicluster.${EAST}`);
      shop = egress.clientAt(SHOP);
      other = egress.clientAt(OTHER);
      node = egress.clientAt(NODE);
    });

    after(async () => {
      await egress.kill();
      await unlisted.kill();
      await gateway.kill();
      for (const origin of origins) origin.close();
      stubborn.close();
      rmSync(dir, { recursive: true });
    });

    const ask = (client: PlainClient, name: string, headers: Record<string, string> = {}) =>
      client.request(name === 'open2' ? 'http2' : 'http1', service(name), { path: '/facts', headers });
    const idOf = async (client: PlainClient, name: string, headers: Record<string, string> = {}) => {
      const { status, body } = await ask(client, name, headers);
      expect(status).to.equal(200);
      const seen = (JSON.parse(String(body)) as { headers: Record<string, string> }).headers;
      return { id: seen['l5d-client-id'], forwarded: seen['forwarded'], seen };
    };
    const echoes = (client: PlainClient, name: string) => echoOf(client.connect(service(name), 7));

    it('of a namespace that a mirror does not let in are refused, with the reason, however they come', async () => {
      const allowed = await ask(shop, 'private');
      expect(allowed.status).to.equal(200);
      for (const kind of ['http1', 'http2'] as const) {
        const refused = await other.request(kind, service('private'), { path: '/facts' });
        expect([refused.status, String(refused.body)]).to.satisfy(
          ([status, body]: [number, string]) =>
            status === 403 && /allowed-namespaces.*other\/web-0 is of none of them/.test(body),
        );
      }
      expect([await echoes(shop, 'private'), await echoes(other, 'private')]).to.deep.equal([
        'echo',
        'closed',
      ]);
      expect(await egress.metrics()).to.match(
        /linkspan_relay_refused_clients_total\{mirror="mine\/private[^"]*:80",reason="namespace"\} 2\n/,
      );
      expect(egress.log).to.include('client refused');
    });

    it('that are nodes, and so anybody on them, are nobody: refused where it matters who they are', async () => {
      const refused = await ask(node, 'private');
      expect([refused.status, String(refused.body)]).to.satisfy(
        ([status, body]: [number, string]) => status === 403 && body.includes('that of a node'),
      );
      expect((await idOf(node, 'open')).id).to.equal(EGRESS);
    });

    it('that nobody knows are waited for with all that they have said, then refused or nameless', async () => {
      const stranger = egress.clientAt('127.0.0.14');
      const both = await Promise.all([idOf(stranger, 'open'), idOf(stranger, 'open2')]);
      expect(both.map(({ id }) => id)).to.deep.equal([EGRESS, EGRESS]);
      const [refused, raw, ended] = await Promise.all([
        ask(stranger, 'private'),
        echoes(stranger, 'private'),
        stranger.connect(service('private'), 7).then(async (socket) => {
          socket.resume().end('all that it says');
          await once(socket, 'close');
          return 'closed';
        }),
      ]);
      expect([refused.status, raw, ended]).to.deep.equal([403, 'closed', 'closed']);
      expect(String(refused.body)).to.include('no pod of this cluster has the address');
    });

    for (const name of ['open', 'open2'])
      it(`are who they are to the target (${name}), on connections that they share`, async () => {
        const clients = [shop, other, shop, node, other];
        const ids = await Promise.all(clients.map((client) => idOf(client, name)));
        const [one, two] = [`web.shop.${EAST}`, `web.other.${EAST}`];
        expect(ids.map(({ id }) => id)).to.deep.equal([one, two, one, EGRESS, two]);
        expect(ids[1]?.forwarded).to.include(`for=${two};`);
      });

    it('are who they are on connections of their own, which nobody else gets afterwards', async () => {
      // A request that asks for an upgrade has one; it is not taken here, so the connection could carry
      // another request.
      const upgrade = { connection: 'upgrade', upgrade: 'nothing' };
      for (const [client, id] of [
        [shop, `web.shop.${EAST}`],
        [other, `web.other.${EAST}`],
        [node, EGRESS],
        [shop, `web.shop.${EAST}`],
      ] as const)
        expect(String((await ask(client, 'stubborn', upgrade)).body)).to.equal(id);
    });

    it('are told apart by what the target allows: requests and raw bytes', async () => {
      expect([(await ask(shop, 'locked')).status, (await ask(other, 'locked')).status]).to.deep.equal([
        200, 403,
      ]);
      expect((await ask(node, 'locked')).status).to.equal(403);
      expect([await echoes(shop, 'locked'), await echoes(other, 'locked')]).to.deep.equal(['echo', 'closed']);
    });

    it('have a rate limit each', async () => {
      const statuses: number[] = [];
      for (const client of [shop, shop, other, other]) statuses.push((await ask(client, 'limited')).status);
      expect(statuses).to.deep.equal([200, 429, 200, 429]);
    });

    it('are logged with the relay that has named them', async () => {
      await ask(shop, 'open');
      await eventually('the line is there', () =>
        gateway.log
          .split('\n')
          .some((line) => line.includes(`"client":"web.shop.${EAST}","via":"${EGRESS}"`)),
      );
    });

    it('of a relay that is not listed are that relay, whatever it says', async () => {
      const from = unlisted.clientAt(SHOP);
      expect((await idOf(from, 'open')).id).to.equal(`second-egress.linkerd-multicluster.${EAST}`);
      expect((await ask(from, 'locked')).status).to.equal(403);
    });

    it('cannot say themselves who they are', async () => {
      const { id, seen } = await idOf(other, 'open', {
        'l5d-client-id': `web.shop.${EAST}`,
        client: `web.shop.${EAST}`,
      });
      expect([id, seen['client']]).to.deep.equal([`web.other.${EAST}`, `web.shop.${EAST}`]);
      const socket = await other.connect(service('locked'));
      socket.write(`GET /facts HTTP/1.1\r\nhost: x\r\n:client: web.shop.${EAST}\r\n\r\n`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(String(answer)).to.match(/^HTTP\/1\.1 400 /);
      socket.destroy();
    });
  });
