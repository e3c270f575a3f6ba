import { STREAMS_ALPN, STREAMS_CLIENTS_ALPN, TRANSPORT_HEADER_ALPN } from '../../api/names.ts';
import type { Identity } from '../../identity/sources/identity.ts';
import { peerRefusalOf } from '../../identity/trust/trust.ts';
import { tlsConnect } from '../../proxy/io/dial.ts';
import type { GatewayEndpoint, GatewayPoolOptions } from './gateway-pool-options.ts';

/** ALPN protocols, the most capable first. The gateway's own order, by which it picks, is the same. */
const STREAMS_FIRST = [STREAMS_CLIENTS_ALPN, STREAMS_ALPN, TRANSPORT_HEADER_ALPN];

/**
 * A new mTLS connection to a gateway address, and the protocol that was agreed on.
 * @param presented our identity; undefined: there is none yet, and the connection fails
 * @throws ProxyFailure
 */
export function gatewayHandshake(
  { host, port, identity: gateway }: GatewayEndpoint,
  { counters, clock, streams = true, onProven }: GatewayPoolOptions,
  presented: Identity | undefined,
): ReturnType<typeof tlsConnect> {
  return tlsConnect(
    {
      label: `gateway ${gateway}`,
      counters: () => counters.shared,
      boundary: counters,
      clock,
      identity: () => presented,
      serverName: gateway,
      alpn: streams ? STREAMS_FIRST : [TRANSPORT_HEADER_ALPN],
      refuses: (socket, own) => peerRefusalOf(socket, own, clock.now(), gateway),
      onProven: (opened, socket) => onProven?.(opened, socket),
    },
    { host, port },
  );
}
