import type { EgressTry } from '../../api/answers/admin-answers.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import { STREAMS_ALPN, TRANSPORT_HEADER_ALPN } from '../../api/names.ts';
import type { IdentitySource } from '../../identity/sources/identity.ts';
import { peerRefusalOf } from '../../identity/trust/trust.ts';
import { ProxyCounters } from '../../proxy/metrics/counters.ts';
import { ConnectionCounters } from '../../proxy/metrics/connection-counters.ts';
import { tlsConnect } from '../../proxy/io/dial.ts';
import type { GatewayEndpoint } from './gateway-pool-options.ts';

/**
 * Opens one connection to a gateway address, with mTLS, and closes it. Never rejects, and is not counted in
 * the metrics of flows.
 */
export async function checkGatewayDial(
  { host, port, identity: name }: GatewayEndpoint,
  options: { readonly identity: IdentitySource; readonly clock: Clock },
): Promise<EgressTry> {
  const { clock, identity } = options;
  const start = clock.monotonic();
  const outcome = (message: string): EgressTry => ({
    gateway: `${host}:${port}`,
    identity: name,
    ok: message === '',
    message,
    latencyMs: clock.monotonic() - start,
  });
  try {
    const { connection } = await tlsConnect(
      {
        label: `gateway ${name}`,
        counters: () => new ConnectionCounters(),
        boundary: new ProxyCounters(),
        clock,
        identity: () => identity.current(),
        serverName: name,
        alpn: [STREAMS_ALPN, TRANSPORT_HEADER_ALPN],
        refuses: (socket, own) => peerRefusalOf(socket, own, clock.now(), name),
      },
      { host, port },
    );
    connection.destroy();
    return outcome('');
  } catch (error) {
    return outcome(messageOf(error));
  }
}
