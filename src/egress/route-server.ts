import type { Tracer } from '../proxy/tracing/tracer.ts';
import { isDeepStrictEqual } from 'node:util';
import type { Timer } from '../base/clock.ts';
import { DISTRUST_GRACE_MS } from '../identity/trust/open-peers.ts';
import { serve } from '../proxy/downstream/serve.ts';
import type { ProxyFailure } from '../proxy/http/failures.ts';
import type { SessionProtocol } from '../proxy/http/messages.ts';
import type { AccessLog, OpenFlow } from '../proxy/downstream/access-log.ts';
import { contained } from '../proxy/http/failure-boundary.ts';
import { type Connection, endCarried } from '../proxy/io/connection.ts';
import type { Flow, Session } from '../proxy/downstream/session.ts';
import { clientProtocolOf } from '../proxy/downstream/client-protocol.ts';
import { PendingConnection } from './clients/pending-connection.ts';
import { type ClientParts, RelayedClient, RouteClients } from './clients/route-clients.ts';
import { PortListener } from './port-listener.ts';
import { ApexGateways } from './apexes/apex-gateways.ts';
import type { KnownBackends } from './apexes/rule-shares.ts';
import { isApex, isGroup, type Route } from './routes/route.ts';
import type { GatewayEndpoint } from './gateways/gateway-pool-options.ts';
import type { RouteGatewayOptions } from './gateways/route-gateway.ts';
import { GroupGateways, type RouteGateways, SingleGateway } from './gateways/route-gateways.ts';
import type { Division } from './shares/division.ts';

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
/** A client that is being served. */
interface AdmittedClient {
  readonly client: Connection;
  readonly who: RelayedClient;
}

/** What all routes of an egress share. */
export interface RouteServerOptions extends RouteGatewayOptions {
  /** Host of the address that ports are bound on. */
  readonly listenAddress: string;
  /** As `Session.draining`. */
  readonly draining: () => boolean;
  readonly parts: ClientParts;
  /** Where its sessions say what they carried. */
  readonly accessLog: AccessLog;
  /** Records requests; default: none is recorded. */
  readonly tracer?: Tracer | undefined;
  /** What is known of backends of apexes; default: nothing. */
  readonly known?: KnownBackends | undefined;
}

/** Serves one route: a listening port, its clients, and the gateways that it leads to. */
export class RouteServer {
  #route: Route;
  readonly #options: RouteServerOptions;
  readonly #listener: PortListener;
  readonly #gateways: RouteGateways;
  /** The same where the route is an apex's, some of whose backends may be for some clients only. */
  readonly #apex: ApexGateways | undefined;
  readonly #flows = new Map<Flow, AdmittedClient>();
  readonly #clients: RouteClients;
  #stopped = false;
  /** Timer that cuts flows whose client may not use the route any more. */
  #withdrawal: Timer | undefined;
  /** The mirror is gone: no client may go on. */
  #gone = false;

  constructor(route: Route, options: RouteServerOptions) {
    this.#route = route;
    this.#options = options;
    this.#clients = new RouteClients(route, options.parts, options.clock);
    this.#gateways = gatewaysOf(route, options);
    this.#apex = this.#gateways instanceof ApexGateways ? this.#gateways : undefined;
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

  /** The currently known addresses of its gateway, or of those of a group's members. */
  get gatewayEndpoints(): GatewayEndpoint[] {
    return this.#gateways.endpoints;
  }

  /** As `RouteGateways.provenMs`. */
  provenMs(cluster: string): number | undefined {
    return this.#gateways.provenMs(cluster);
  }

  /** As `ApexGateways.divisions`; of a route that is no apex's there are none. */
  ruleDivisions(): Iterable<readonly [group: string, division: Division]> {
    return this.#apex?.divisions() ?? [];
  }

  /**
   * Takes over a changed route. It leads to the same gateway, and differs in its settings for requests and
   * clients; that of a group may differ in its members, too. Where that throws, the former one stays.
   */
  follow(route: Route): void {
    const former = this.#route;
    if (isDeepStrictEqual(route, former)) return;
    try {
      this.#route = route;
      this.#gateways.follow(route);
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
    this.#apex?.reconsider();
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

  /** Clients that are served and may not go on. */
  #shutOut(): IteratorObject<AdmittedClient> {
    return this.#flows.values().filter(({ who }) => this.#gone || !this.#clients.allows(who));
  }

  *openFlows(): Generator<OpenFlow> {
    for (const flow of this.#flows.keys()) yield* flow.underWay();
  }

  /** Number of open connections. */
  get size(): number {
    return this.#listener.size;
  }

  /** Begins to resolve the gateway's names, and to accept connections. @throws LinkspanError of `listenOn` */
  async listen(): Promise<void> {
    this.#gateways.start();
    await this.#listener.listen();
  }

  /** Accepts no more connections; flows go on, and clients are told to send no new requests. */
  stopAccepting(): void {
    this.#stopped = true;
    this.#listener.stopAccepting();
    this.#gateways.stop();
    for (const flow of this.#flows.keys()) contained(this.#options.counters, () => flow.drain());
  }

  destroy(): void {
    this.#listener.destroy();
    this.#gateways.close();
  }

  #accept(client: Connection): void {
    const decides = this.#apex?.restricts === true;
    const identified = this.#clients.identify(client, this.#gateways.namesClients, decides);
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
    const { counters, clock, draining, accessLog, tracer } = this.#options;
    const served: { flow?: Flow } = {};
    // A client of a group may stay: the next request goes to another cluster anyway.
    const stays = isGroup(this.#route) || this.#apex !== undefined;
    const leavesWith = stays ? undefined : (failure: ProxyFailure) => leaves(failure, served.flow);
    const session = (protocol: SessionProtocol): Session => ({
      client,
      ...this.#targetFor(protocol, who),
      rules: who,
      draining,
      counters,
      accessLog,
      tracer,
      clientName: client.remoteAddress,
      kept: undefined,
      plainClient: true,
      leavesWith,
      clock,
    });
    // Plain clients do not declare a protocol.
    const protocol = clientProtocolOf(undefined, this.#route.protocol);
    const flow = serve(protocol, { client, clock, boundary: counters, quietMs: QUIET_MS, session }, first);
    served.flow = flow;
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

  /** Where one client's requests go, and what is asked before each of them. */
  #targetFor(protocol: SessionProtocol, who: RelayedClient): Pick<Session, 'target' | 'check'> {
    if (this.#apex === undefined)
      return { target: this.#gateways.target(protocol), check: () => this.#clients.check(who) };
    const target = this.#apex.targetFor(protocol, who);
    return { target, check: () => this.#clients.check(who) ?? target.recheck() };
  }
}

function gatewaysOf(route: Route, options: RouteServerOptions): RouteGateways {
  if (isApex(route)) return new ApexGateways(route, options);
  return isGroup(route) ? new GroupGateways(route, options) : new SingleGateway(route, options);
}

/**
 * Whether the client's connection is to be closed, because its gateway cannot be reached: by its next
 * connection, kube-proxy may take it to another gateway.
 * @param flow the client's connection; if it is to be closed, HTTP/2 clients are told to open no new streams
 */
function leaves({ isOfWay }: ProxyFailure, flow: Flow | undefined): boolean {
  if (!isOfWay) return false;
  flow?.drain();
  return true;
}
