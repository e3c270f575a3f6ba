import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { expect } from 'chai';
import type { Identity } from '../../../../src/identity/sources/identity.ts';
import { createAnchor, createIssuer, issueLeaf } from '../../../../src/identity/authority/issue.ts';
import { peerIdentities } from '../../../../src/identity/x509/peer-certificate.ts';

const HOUR = 3_600_000;
const GATEWAY = 'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local';
const CLIENT = 'spiffe://example.org/ns/demo/sa/web';

async function pair(): Promise<{ server: Identity; client: Identity }> {
  const anchor = await createAnchor({ lifetimeMs: 10 * HOUR });
  const issuer = await createIssuer(anchor, { lifetimeMs: 5 * HOUR });
  const [server, client] = await Promise.all([
    issueLeaf(issuer, { identity: GATEWAY, lifetimeMs: HOUR }),
    issueLeaf(issuer, { identity: CLIENT, lifetimeMs: HOUR }),
  ]);
  return { server, client };
}

interface Seen {
  protocol: string | null;
  client: string | undefined;
  server: string | undefined;
}

/** One TLS 1.3 mutual handshake; what each side saw of the other. */
async function handshake(server: Identity, client: Identity): Promise<Seen> {
  const tls = { minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: true } as const;
  const listener = createServer({ ...tls, cert: server.cert, key: server.key, ca: server.ca });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  try {
    const accepted = Promise.race([
      once(listener, 'secureConnection').then(([socket]) => socket as TLSSocket),
      once(listener, 'tlsClientError').then(([error]) => Promise.reject(error as Error)),
    ]);
    // The peer is who its certificate says, not what its host name is: that check is the caller's.
    const socket = connect({
      port: (listener.address() as AddressInfo).port,
      host: '127.0.0.1',
      servername: server.name,
      minVersion: 'TLSv1.3',
      cert: client.cert,
      key: client.key,
      ca: client.ca,
      checkServerIdentity: () => undefined,
    });
    try {
      const [peer] = await Promise.all([accepted, once(socket, 'secureConnect')]);
      const first = (side: TLSSocket) => peerIdentities(side.getPeerCertificate(true).raw)[0];
      const seen = { protocol: peer.getProtocol(), client: first(peer), server: first(socket) };
      peer.destroy();
      return seen;
    } finally {
      socket.on('error', () => undefined).destroy();
    }
  } finally {
    listener.close();
  }
}

// What is issued here has to be good enough for OpenSSL on both ends: a wrong extension or a missing
// intermediate shows only in a handshake.
describe('a mutual TLS 1.3 handshake with issued leaves', () => {
  it('shows each side the identity of the other', async () => {
    const { server, client } = await pair();
    expect(await handshake(server, client)).to.deep.equal({
      protocol: 'TLSv1.3',
      client: CLIENT,
      server: GATEWAY,
    });
  });

  it('fails for a client of another trust anchor', async () => {
    const { server, client } = await pair();
    const stranger = (await pair()).client;
    let refused: unknown;
    await handshake(server, { ...stranger, ca: client.ca }).catch((error: unknown) => {
      refused = error;
    });
    expect(refused).to.be.instanceOf(Error);
  });
});
