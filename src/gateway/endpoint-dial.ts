import { TRANSPORT_HEADER_ALPN } from '../api/names.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import type { OpenPeers } from '../identity/trust/open-peers.ts';
import { peerRefusalOf } from '../identity/trust/trust.ts';
import type { SessionProtocol } from '../proxy/http/messages.ts';
import { type Dial, type DialOptions, plainDial, tlsDial } from '../proxy/io/dial.ts';
import type { MeshPeer } from '../proxy/io/dial-address.ts';
import { encodeTransportHeader } from '../proxy/io/transport-header.ts';

/** What a gateway's connections to pods need. */
export interface EndpointDialOptions extends DialOptions {
  readonly identity: IdentitySource;
  /**
   * Ends connections to pods with a mesh proxy by age, and when these are not trusted any more; absent: they
   * are kept.
   */
  readonly peers?: OpenPeers;
}

/**
 * How a gateway connects to the pods of its own cluster: without TLS; where a pod has a mesh proxy, as
 * another proxy of the mesh would (wire protocol 1.1 and 1.4).
 *
 * HTTP goes to the application's own port inside mTLS, without ALPN, and the proxy detects it. Raw flows, and
 * everything to an opaque port, go to the proxy's port with a transport header that names only the
 * application's port, so that a server that speaks first does not have to wait until detection times out.
 */
export function endpointDial(options: EndpointDialOptions): Dial {
  const plain = plainDial(options);
  return (endpoint, protocol) => {
    const { host, port, mesh } = endpoint;
    if (mesh === undefined) return plain(endpoint, protocol);
    const wrapped = mesh.opaque || protocol === 'opaque';
    const dial = meshDial(options, mesh, wrapped ? port : undefined);
    return dial({ host, port: wrapped ? mesh.port : port }, protocol);
  };
}

/** Dials a mesh proxy. @param behind the application's port, where a transport header must name it */
function meshDial(
  { identity, peers, ...options }: EndpointDialOptions,
  mesh: MeshPeer,
  behind: number | undefined,
): Dial {
  const protocol: SessionProtocol = 'opaque';
  return tlsDial({
    ...options,
    identity: () => identity.current(),
    serverName: mesh.identity,
    refuses: (socket, own) => peerRefusalOf(socket, own, options.clock.now(), mesh.identity),
    ...(peers === undefined ? {} : { onProven: (connection, socket) => peers.add(connection, socket) }),
    ...(behind === undefined
      ? {}
      : {
          alpn: [TRANSPORT_HEADER_ALPN],
          preface: encodeTransportHeader({ name: '', port: behind, protocol }),
        }),
  });
}
