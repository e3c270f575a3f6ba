import type { Random } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { TRANSPORT_HEADER_ALPN } from '../base/names.ts';
import type { IdentitySource } from '../identity/identity.ts';
import { peerIdentities } from '../identity/peer.ts';
import { NO_ACCESS_LOG } from '../proxy/access-log.ts';
import type { Accounts } from '../proxy/accounts.ts';
import type { Connection } from '../proxy/connection.ts';
import { tlsDial } from '../proxy/dial.ts';
import { type Flow, serve } from '../proxy/session.ts';
import { Target } from '../proxy/target.ts';
import { encodeTransportHeader, type SessionProtocol } from '../proxy/transport-header.ts';
import type { Logger } from '../telemetry/log.ts';
import { PortListener } from './port-listener.ts';
import { type Lookup, ResolvedHosts } from './resolve.ts';
import type { Route } from './routes.ts';

export interface RouteServerOptions {
  readonly listenAddress: string;
  readonly identity: IdentitySource;
  readonly accounts: Accounts;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly lookup: Lookup;
  readonly draining: () => boolean;
}

/**
 * Serves one route: a listening port, and for each session protocol the gateways as a balanced target, because the header that opens a connection says the protocol.
 */
export class RouteServer {
  readonly route: Route;
  readonly #options: RouteServerOptions;
  readonly #listener: PortListener;
  readonly #targets: Record<SessionProtocol, Target>;
  readonly #hosts: ResolvedHosts;
  readonly #flows = new Set<Flow>();

  constructor(route: Route, options: RouteServerOptions) {
    this.route = route;
    this.#options = options;
    this.#targets = {
      http1: this.#target('http1'),
      http2: this.#target('http2'),
      opaque: this.#target('opaque'),
    };
    this.#hosts = new ResolvedHosts(route.gateway.addresses, {
      ...options,
      onChange: (addresses) => {
        const endpoints = addresses.map((host) => ({ host, port: route.gateway.port, ready: true }));
        for (const target of Object.values(this.#targets)) target.update(endpoints);
      },
    });
    this.#listener = new PortListener({
      address: { host: options.listenAddress, port: route.listenPort },
      accounts: options.accounts,
      clock: options.clock,
      protocol: () => route.protocol,
      onArrival: (client, protocol, first) => this.#arrived(client, protocol, first),
    });
  }

  get size(): number {
    return this.#listener.size;
  }

  /** @throws LinkspanError PORT_IN_USE */
  listen(): Promise<void> {
    return this.#listener.listen();
  }

  /** Takes no more connections; what is under way goes on, and clients are told to send nothing new. */
  stopAccepting(): void {
    this.#listener.stopAccepting();
    this.#hosts.stop();
    for (const flow of this.#flows) flow.drain();
  }

  destroy(): void {
    this.#listener.destroy();
    for (const target of Object.values(this.#targets)) target.close();
  }

  #target(protocol: SessionProtocol): Target {
    const { name, port, gateway, label } = this.route;
    const { identity, accounts, clock, random } = this.#options;
    const dial = tlsDial({
      label,
      accounts,
      clock,
      identity: () => identity.current(),
      serverName: gateway.identity,
      alpn: TRANSPORT_HEADER_ALPN,
      accepts: (certificate) => peerIdentities(certificate).includes(gateway.identity),
      preface: encodeTransportHeader({ name, port, protocol }),
    });
    return new Target({ label, dial, clock, random });
  }

  #arrived(client: Connection, protocol: SessionProtocol, first: Buffer): void {
    const { accounts, clock, draining } = this.#options;
    const flow = serve(
      {
        client,
        target: this.#targets[protocol],
        protocol,
        rules: { host: undefined, added: [] },
        check: () => undefined,
        draining,
        accounts,
        accessLog: NO_ACCESS_LOG,
        clientName: client.remoteAddress,
        clock,
      },
      first,
    );
    this.#flows.add(flow);
    client.whenClosed(() => this.#flows.delete(flow));
  }
}
