import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { expect } from 'chai';
import type { SocketAddress } from '../../../../src/base/address.ts';
import { systemClock } from '../../../../src/base/clock.ts';
import { TRANSPORT_HEADER_ALPN } from '../../../../src/api/names.ts';
import { ConnectionAdmission } from '../../../../src/base/connection-admission.ts';
import { HeaderAcceptor } from '../../../../src/gateway/acceptors/header-acceptor.ts';
import { MtlsListener } from '../../../../src/gateway/acceptors/mtls-listener.ts';
import type { Identity, IdentitySource } from '../../../../src/identity/sources/identity.ts';
import { OpenPeers } from '../../../../src/identity/trust/open-peers.ts';
import { openIdentityDir } from '../../../../src/identity/sources/identity-dir.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import { publishIdentity } from '../../../../src/identity/identity-metrics.ts';
import { identityFiles, writePemFiles } from '../../../../src/identity/authority/pem-files.ts';
import { ProxyCounters } from '../../../../src/proxy/metrics/counters.ts';
import { encodeTransportHeader } from '../../../../src/proxy/io/transport-header.ts';
import { createRegistry } from '../../../../src/telemetry/registry.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { eventually } from '../../../support/eventually.ts';
import { useTempDir } from '../../../support/temp-dir.ts';

const GATEWAY = 'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local';
const CLIENT = 'web.demo.serviceaccount.identity.linkerd.cluster.local';

const [oldAnchor, newAnchor] = await Promise.all([
  createAnchor({ name: 'old' }),
  createAnchor({ name: 'new' }),
]);
const [oldIssuer, newIssuer] = await Promise.all([createIssuer(oldAnchor), createIssuer(newAnchor)]);
const both = oldAnchor.ca + newAnchor.ca;

// The three steps of a rotation, in the order in which an operator takes them, with clients that are ahead
// and behind: none of them may cost a connection.
describe('rotation of a gateway that reads files', () => {
  const dir = useTempDir();
  let source: IdentitySource;
  let listener: MtlsListener;
  let address: SocketAddress;
  let arrived: string[];
  const sockets: TLSSocket[] = [];

  const put = (identity: Identity) => writePemFiles(dir(), identityFiles(identity), { force: true });
  const gatewayLeaf = (issuer = oldIssuer) => issueLeaf(issuer, { identity: GATEWAY });
  const clientLeaf = async (issuer = oldIssuer) => issueLeaf(issuer, { identity: CLIENT });

  beforeEach(async () => {
    arrived = [];
    await put(await gatewayLeaf());
    const { log } = captureLog();
    source = await openIdentityDir({ dir: dir(), clock: systemClock, log });
    const counters = new ProxyCounters();
    const acceptor = new HeaderAcceptor({
      counters,
      clock: systemClock,
      log,
      timeoutMs: 10_000,
      onAuthenticated: ({ connection, clientIdentity }) => {
        arrived.push(clientIdentity);
        connection.send(Buffer.from('hello'));
      },
    });
    const shared = { identity: source, clock: systemClock, log };
    listener = new MtlsListener({
      ...shared,
      address: { host: '127.0.0.1', port: 0 },
      peers: new OpenPeers({ ...shared, random: Math.random }),
      counters,
      acceptor,
      admission: new ConnectionAdmission({ handshakes: 100, connections: 100 }),
    });
    address = await listener.listen();
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    listener.stopAccepting();
    listener.destroy();
    await source.close();
  });

  /** A connection to the gateway that has been admitted. */
  async function enter(client: Identity): Promise<TLSSocket> {
    const socket = connect({
      ...address,
      servername: GATEWAY,
      ALPNProtocols: [TRANSPORT_HEADER_ALPN],
      minVersion: 'TLSv1.3',
      cert: client.cert,
      key: client.key,
      ca: client.ca,
      checkServerIdentity: () => undefined,
    });
    sockets.push(socket);
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    socket.write(encodeTransportHeader({ name: 'web', port: 80, protocol: 'opaque' }));
    const [first] = (await Promise.race([
      once(socket, 'data'),
      once(socket, 'close').then(() => ['closed']),
    ])) as [unknown];
    if (!Buffer.isBuffer(first)) throw new Error('the gateway closed the connection');
    return socket;
  }
  const issuerSeen = (socket: TLSSocket) => socket.getPeerCertificate().serialNumber;
  const refused = async (client: Identity) =>
    enter(client).then(
      () => false,
      () => true,
    );

  it('takes a renewed leaf for the next connections and leaves open ones alone', async () => {
    const client = await clientLeaf();
    const before = await enter(client);
    const first = issuerSeen(before);
    await put(await gatewayLeaf());
    await eventually('the new leaf', async () => issuerSeen(await enter(client)) !== first);
    expect(before.destroyed).to.equal(false);
    before.write('still here');
    expect(before.writable).to.equal(true);
  });

  it('accepts clients of both anchors while both are in the bundle, and of one only after', async () => {
    const [oldClient, newClient] = [await clientLeaf(), await clientLeaf(newIssuer)];
    const leaf = await gatewayLeaf();
    await put(leaf);
    expect(await refused({ ...newClient, ca: both })).to.equal(true);

    await put({ ...leaf, ca: both });
    await eventually('a client of the new anchor', async () => !(await refused({ ...newClient, ca: both })));
    await enter({ ...oldClient, ca: both });

    const renewed = await gatewayLeaf(newIssuer);
    await put({ ...renewed, ca: both });
    await eventually('the leaf of the new issuer', () => source.current()?.cert === renewed.cert);
    const last = await enter({ ...oldClient, ca: both });

    await put({ ...renewed, ca: newAnchor.ca });
    await eventually('the old anchor is gone', () => refused({ ...oldClient, ca: both }));
    await enter(newClient);
    await eventually('the connection that rested on it ends', () => last.destroyed);
    expect(new Set(arrived)).to.deep.equal(new Set([CLIENT]));
  });

  it('counts leaves and tells when the one in use expires', async () => {
    const registry = createRegistry();
    publishIdentity(registry, source, systemClock);
    const value = async (name: string) =>
      (await registry.getSingleMetric(`control_identity_cert_${name}`)?.get())?.values[0]?.value;
    expect(await value('refreshes_total')).to.equal(1);
    expect(await value('expiration_timestamp_seconds')).to.equal((source.current()?.notAfter ?? 0) / 1000);
    await put(await gatewayLeaf());
    await eventually('the second leaf', async () => (await value('refreshes_total')) === 2);
    expect(await value('refresh_timestamp_seconds')).to.be.closeTo(Date.now() / 1000, 60);
  });
});
