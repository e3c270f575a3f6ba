import { isDeepStrictEqual } from 'node:util';
import type { Random } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { neverRemote } from '../base/ip-ranges.ts';
import { type AddressRefusal, HostAddresses } from '../dns/host-addresses.ts';
import type { HostNames } from '../dns/host-names.ts';
import { DISTRUST_GRACE_MS } from '../identity/trust/open-peers.ts';
import { serve } from '../proxy/downstream/serve.ts';
import type { SessionProtocol } from '../proxy/http/messages.ts';
import { NO_ACCESS_LOG } from '../proxy/downstream/access-log.ts';
import type { ProxyCounters } from '../proxy/metrics/counters.ts';
import type { EndpointAddress } from '../proxy/upstream/balancer/balancer.ts';
import { contained } from '../proxy/http/failure-boundary.ts';
import { type Connection, endCarried } from '../proxy/io/connection.ts';
import type { Flow, Session } from '../proxy/downstream/session.ts';
import { clientProtocolOf } from '../proxy/downstream/client-protocol.ts';
import { Target } from '../proxy/upstream/target.ts';
import type { Logger } from '../telemetry/log.ts';
import { PendingConnection } from './clients/pending-connection.ts';
import { type ClientParts, RelayedClient, RouteClients } from './route-clients.ts';
import { GatewayConnections } from './gateways/gateway-connections.ts';
import { PortListener } from './port-listener.ts';
import type { Route } from './routes/routes.ts';
import type { GatewayEndpoint } from './gateways/gateway-pool.ts';
import type { GatewayPools } from './gateways/gateway-pools.ts';

/**
 * How long a client may send nothing before a connection to the server is opened, in case the server speaks
 * first (milliseconds). The protocol is still detected when the client does send. A shorter time would open
 * needless connections for clients that connect ahead of their requests; a longer one would delay protocols
 * in which the server speaks first and that are not declared.
 */
const QUIET_MS = 500;
const EMPTY = Buffer.alloc(0);
/**
 * Time that flows have to end when their client may not use the mirror any more or the mirror is gone,
 * milliseconds; as for peers that are not trusted any more.
 */
const WITHDRAWN_GRACE_MS = DISTRUST_GRACE_MS;
/**
 * Refuses addresses that no other cluster can have (loopback, link-local, a cloud's metadata service, …)
 * where a host name resolves to them: the Link's author has written the name only, and somebody else may
 * control its DNS. The source's own ranges, which the controller refuses too, are left to mTLS: no endpoint
 * there can prove the gateway's identity.
 */
const REFUSAL: AddressRefusal = (address, host) => (address === host ? undefined : neverRemote(address));

/** A client that is being served. */
interface AdmittedClient {
  readonly client: Connection;
  readonly who: RelayedClient;
}

export interface RouteServerOptions {
  readonly listenAddress: string;
  readonly pools: GatewayPools;
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly names: HostNames;
  readonly draining: () => boolean;
  readonly parts: ClientParts;
}

/**
 * Serves one route: a listening port, and for each session protocol a target that balances over the gateway's
 * addresses. There is one for each protocol because a transport header, without stream mode, names the
 * protocol of the whole connection.
 */
export class RouteServer {
  #route: Route;
  #endpoints: readonly EndpointAddress[] = [];
  readonly #options: RouteServerOptions;
  readonly #listener: PortListener;
  readonly #targets: Record<SessionProtocol, Target>;
  readonly #hosts: HostAddresses;
  readonly #gateways: GatewayConnections;
  readonly #flows = new Map<Flow, AdmittedClient>();
  readonly #clients: RouteClients;
  #stopped = false;
  /** Timer that cuts flows whose client may not use the route any more. */
  #withdrawal: Timer | undefined;
  #gone = false;

  constructor(route: Route, options: RouteServerOptions) {
    this.#route = route;
    this.#options = options;
    this.#clients = new RouteClients(route, options.parts, options.clock);
    this.#gateways = new GatewayConnections(route, options.pools, options.counters);
    this.#targets = {
      http1: this.#target(),
      http2: this.#target(),
      opaque: this.#target(),
    };
    this.#hosts = new HostAddresses({
      hosts: route.gateway.addresses,
      names: options.names,
      refusal: REFUSAL,
      onChange: () => this.#addressesChanged(),
    });
    this.#listener = new PortListener({
      address: { host: options.listenAddress, port: route.listenPort },
      counters: options.counters,
      onLeft: () => this.#gateways.release(),
      onConnection: (client) => this.#accept(client),
    });
  }

  get route(): Route {
    return this.#route;
  }

  /** The gateway's currently known addresses. */
  get gatewayEndpoints(): GatewayEndpoint[] {
    const { identity } = this.#route.gateway;
    return this.#endpoints.map(({ host, port }) => ({ host, port, identity }));
  }

  /**
   * Takes over a changed route to the same gateway, which differs only in its settings for requests and
   * clients. Where that throws, the former one stays.
   */
  follow(route: Route): void {
    const former = this.#route;
    if (isDeepStrictEqual(route, former)) return;
    try {
      this.#route = route;
      this.#update();
      this.reconsider();
    } catch (error) {
      this.#route = former;
      throw error;
    }
  }

  /**
   * Applies changed rules about clients: new requests are checked one by one, raw connections now, and other
   * flows of clients that may not use the route any more are cut after `WITHDRAWN_GRACE_MS`.
   */
  reconsider(): void {
    this.#clients.follow(this.#route);
    for (const flow of this.#flows.keys()) contained(this.#options.counters, () => flow.recheck());
    this.#endLater();
  }

  /**
   * Tells a server whose port was closed which route has replaced its own, with the rules about clients;
   * without one no client may go on.
   * @param now the current route of the same mirror and port; undefined: there is none
   */
  replacedBy(now: Route | undefined): void {
    this.#gone = now === undefined;
    if (now === undefined) return this.#endLater();
    const { allowedNamespaces, ...rest } = this.#route;
    const said = now.allowedNamespaces;
    if (isDeepStrictEqual(allowedNamespaces, said)) return;
    this.#route = said === undefined ? rest : { ...rest, allowedNamespaces: said };
    this.reconsider();
  }

  /**
   * Cuts the flows of excluded clients after the grace. Which are excluded is determined then, because the
   * rule may have been restored meanwhile.
   */
  #endLater(): void {
    if (this.#withdrawal !== undefined || !this.#shutOut().some(() => true)) return;
    this.#withdrawal = this.#options.clock.after(
      WITHDRAWN_GRACE_MS,
      () => {
        this.#withdrawal = undefined;
        // Cut, not closed, so that half a response does not look complete.
        for (const { client } of this.#shutOut()) client.abort();
      },
      { unref: true },
    );
  }

  #shutOut(): IteratorObject<AdmittedClient> {
    return this.#flows.values().filter(({ who }) => this.#gone || !this.#clients.allows(who));
  }

  get size(): number {
    return this.#listener.size;
  }

  /** Begins to resolve the gateway's names, and to accept connections. @throws LinkspanError of `listenOn` */
  async listen(): Promise<void> {
    this.#hosts.start();
    await this.#listener.listen();
  }

  /** Accepts no more connections; flows go on, and clients are told to send no new requests. */
  stopAccepting(): void {
    this.#stopped = true;
    this.#listener.stopAccepting();
    this.#hosts.stop();
    for (const flow of this.#flows.keys()) contained(this.#options.counters, () => flow.drain());
  }

  destroy(): void {
    this.#listener.destroy();
    for (const target of Object.values(this.#targets)) target.close();
    this.#gateways.release();
  }

  #addressesChanged(): void {
    const { current, refused } = this.#hosts;
    const { label, gateway } = this.#route;
    if (refused.length > 0)
      this.#options.log.debug({ mirror: label, refused }, 'addresses of a gateway not used');
    this.#gateways.update(current);
    this.#endpoints = current.map((host) => ({ host, port: gateway.port, ready: true }));
    this.#update();
  }

  #update(): void {
    const { requests } = this.#route;
    for (const [protocol, target] of Object.entries(this.#targets))
      target.update(this.#endpoints, requests === undefined || protocol === 'opaque' ? {} : { requests });
  }

  #target(): Target {
    const { label } = this.route;
    const { counters, clock, random } = this.#options;
    return new Target({
      label,
      dial: (endpoint, session, client) => this.#gateways.dial(endpoint, session, client),
      streams: this.#gateways,
      proxies: true,
      clock,
      random,
      counters,
    });
  }

  #accept(client: Connection): void {
    const identified = this.#clients.identify(client, this.#gateways.namesClients);
    if (identified instanceof RelayedClient) return this.#serve(client, identified, EMPTY);
    const pending = new PendingConnection(client);
    const { counters } = this.#options;
    identified
      .then((who) => {
        if (client.closed) return who.disconnected();
        this.#serve(client, who, pending.bytes);
        pending.tellEnd();
      })
      .catch((error: unknown) => endCarried(client, counters, counters.caught(error)));
  }

  #serve(client: Connection, who: RelayedClient, first: Buffer): void {
    const { counters, clock, draining } = this.#options;
    const session = (protocol: SessionProtocol): Session => ({
      client,
      target: this.#targets[protocol],
      rules: who,
      check: () => this.#clients.check(who),
      draining,
      counters,
      accessLog: NO_ACCESS_LOG,
      clientName: client.remoteAddress,
      plainClient: true,
      clock,
    });
    // Plain clients do not declare a protocol.
    const protocol = clientProtocolOf(undefined, this.#route.protocol);
    const flow = serve(protocol, { client, clock, boundary: counters, quietMs: QUIET_MS, session }, first);
    this.#flows.set(flow, { client, who });
    client.whenClosed(() => {
      this.#flows.delete(flow);
      who.disconnected();
    });
    who.onChange = () => {
      flow.recheck();
      this.#endLater();
    };
    if (this.#gone) this.#endLater();
    if (this.#stopped) flow.drain();
  }
}
