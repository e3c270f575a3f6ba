import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import type { Identity } from '../../src/identity/sources/identity.ts';
import { type Authority, createAnchor, createIssuer, issueLeaf } from '../../src/identity/authority/issue.ts';
import { encodeTransportHeader } from '../../src/proxy/io/transport-header.ts';
import { accountIn, forgedLeaf, freeAuthority, leafOf } from '../support/authorities.ts';
import { eventually } from '../support/eventually.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { http1Origin, type Origin } from '../support/origins.ts';
import { RUNTIMES } from '../support/runtime-process.ts';
import { WireClient } from '../support/wire-client.ts';

const EAST = 'east.cluster.local';
const WEST = 'west.cluster.local';
const NORTH = 'north.cluster.local';
const API = 'api.demo.svc.cluster.local';
const GATEWAY = accountIn(WEST, 'linkerd-gateway', 'linkerd-multicluster');
/** The only client of the service: an account of west's own. */
const CLIENT = accountIn(WEST, 'api', 'payments');
const GET = 'GET /hello HTTP/1.1\r\nhost: x\r\n\r\n';

/**
 * East was taken over: its issuer's key, its workloads' certificates. West has to go on knowing its own
 * workloads from what east says of itself, whatever runtime it is on: both do the handshake with a TLS of
 * their own (OpenSSL, BoringSSL).
 */
for (const runtime of RUNTIMES) {
  describe(`trust between clusters, on ${runtime}`, () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'linkspan-trust-'));
    /** One anchor for east and west, an issuer for each; north and a partner have anchors of their own. */
    let east: Authority;
    let west: Authority;
    let north: Authority;
    let partner: Authority;
    let origin: Origin;
    let gateway: GatewayProcess;
    const northFile = path.join(dir, 'north.crt');

    before(async function () {
      const anchor = await createAnchor({ name: 'one for both' });
      east = await createIssuer(anchor, { trustDomain: EAST, constrained: true });
      west = await createIssuer(anchor, { trustDomain: WEST, constrained: true });
      north = await freeAuthority('north');
      partner = await freeAuthority('partner');
      writeFileSync(northFile, north.ca);
      writeFileSync(path.join(dir, 'partner.crt'), partner.ca);
      origin = await http1Origin();
      gateway = await GatewayProcess.start({
        runtime,
        dir: path.join(dir, 'gateway'),
        identity: await issueLeaf(west, { identity: GATEWAY }),
        targets: [{ name: API, ports: [origin.port], rules: { allow: [CLIENT, accountIn(NORTH)] } }],
        flags: [
          '--anchors',
          `${NORTH}=${northFile}`,
          `partner.example=${path.join(dir, 'partner.crt')}`,
          '--allow-trust-domain',
          EAST,
          NORTH,
          'partner.example',
        ],
      });
    });
    after(async () => {
      await gateway.kill();
      origin.close();
      rmSync(dir, { recursive: true });
    });

    async function connect(client: Identity): Promise<WireClient> {
      const socket = tls.connect({
        host: '127.0.0.1',
        port: gateway.port,
        servername: GATEWAY,
        ALPNProtocols: ['transport.l5d.io/v1'],
        cert: client.cert,
        key: client.key,
        ca: west.ca,
        checkServerIdentity: () => undefined,
        allowHalfOpen: true,
      } as tls.ConnectionOptions);
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
      const wire = new WireClient(socket);
      wire.send(encodeTransportHeader({ name: API, port: 80, protocol: 'http1' }));
      return wire;
    }
    const asked = async (client: Identity) => {
      const wire = await connect(client);
      wire.send(GET);
      await eventually('an answer or the end', () => wire.text !== '' || wire.ended || wire.closed);
      const [status = ''] = /^HTTP\/1\.1 \d+/.exec(wire.text) ?? [];
      wire.socket.destroy();
      return status;
    };

    it("serves its own workload, and another cluster's as itself", async () => {
      expect(await asked(await issueLeaf(west, { identity: CLIENT }))).to.equal('HTTP/1.1 200');
      expect(await asked(await issueLeaf(north, { identity: accountIn(NORTH) }))).to.equal('HTTP/1.1 200');
      // East may come in, and is not who may use this.
      expect(await asked(await issueLeaf(east, { identity: accountIn(EAST) }))).to.equal('HTTP/1.1 403');
    });

    it("refuses a leaf of east's issuer that names west's account", async () => {
      expect(await asked(await forgedLeaf(east, CLIENT))).to.equal('');
    });

    it("refuses a leaf of east's issuer that has west's account as its second name", async () => {
      // A certificate with two names is not whom the other side wishes it to be; here it is refused for what
      // its issuer may not name.
      expect(await asked(await leafOf(east, [accountIn(EAST), CLIENT]))).to.equal('');
      expect(await asked(await leafOf(north, [accountIn(NORTH), CLIENT]))).to.equal('HTTP/1.1 200');
      expect(await asked(await leafOf(north, [CLIENT, accountIn(NORTH)]))).to.equal('');
    });

    it("refuses a partner's authority that names an account of ours, of north or of east", async () => {
      for (const identity of [CLIENT, accountIn(NORTH), accountIn(EAST)])
        expect(await asked(await issueLeaf(partner, { identity })), identity).to.equal('');
      // Even with the certificates of the authority behind it that it means to be of.
      const forged = await issueLeaf(partner, { identity: CLIENT });
      expect(await asked({ ...forged, cert: forged.cert + west.chain })).to.equal('');
    });

    it('ends open connections within ten seconds when the anchor that they rest on is taken away, and no others', async () => {
      const theirs = await connect(await issueLeaf(north, { identity: accountIn(NORTH) }));
      const ours = await connect(await issueLeaf(west, { identity: CLIENT }));
      for (const wire of [theirs, ours]) await wire.send(GET).hears(/hello$/);
      // Nobody may name north, until somebody may again.
      writeFileSync(northFile, partner.ca);
      await eventually('it ends', () => theirs.closed || theirs.ended);
      expect(await asked(await issueLeaf(north, { identity: accountIn(NORTH) }))).to.equal('');
      await ours.send(GET).hearsTimes('hello', 2);
      ours.socket.destroy();
      writeFileSync(northFile, north.ca);
      await eventually(
        'north may come back',
        async () => (await asked(await issueLeaf(north, { identity: accountIn(NORTH) }))) !== '',
      );
    });
  });
}
