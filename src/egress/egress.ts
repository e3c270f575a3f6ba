import type { EgressTry } from '../api/admin/try-answer.ts';
import { targetKey } from '../api/ports/target-key.ts';
import { isDeepStrictEqual } from 'node:util';
import { eachAlone, surface } from '../base/isolation.ts';
import { type Clock, containedClock, sleep } from '../base/clock.ts';
import { codeOf, messageOf } from '../api/errors/linkspan-error.ts';
import { SharedWork } from '../base/shared-work.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import { type ConnectionAge, OpenPeers } from '../identity/trust/open-peers.ts';
import { ProxyCounters } from '../proxy/metrics/counters.ts';
import type { Health } from '../telemetry/admin.ts';
import { flowErrors, type InternalErrorLogOptions } from '../telemetry/internal-error-log.ts';
import { type Clients, NO_CLIENTS } from './clients/client.ts';
import { ClientFields } from './clients/client-fields.ts';
import { type NamespaceRules, NO_NAMESPACE_RULES } from './clients/namespace-rules.ts';
import { RefusedClients } from './clients/refusals.ts';
import type { RelayPolicy } from './clients/relay-rule.ts';
import type { ClientParts } from './route-clients.ts';
import { RouteServer, type RouteServerOptions } from './route-server.ts';
import type { Route } from './routes/routes.ts';
import { tryGateway } from './gateways/gateway-try.ts';
import type { GatewayEndpoint } from './gateways/gateway-pool.ts';
import { GatewayPools } from './gateways/gateway-pools.ts';

export interface EgressOptions
  extends Omit<RouteServerOptions, 'counters' | 'draining' | 'pools' | 'parts'>,
    InternalErrorLogOptions {
  readonly identity: IdentitySource;
  /** Who sends from the addresses of this cluster; default nobody is told apart. */
  readonly clients?: Clients;
  /** What Namespaces say of their mirrors; default nothing. */
  readonly namespaceRules?: NamespaceRules;
  /** Whose clients may use mirrors of which neither they nor their Namespace say it; default everybody's. */
  readonly relayPolicy?: RelayPolicy;
  /** Let flows share connections to gateways that can do so (stream mode); default true. */
  readonly streams?: boolean;
  /** How long flows may go on after `stop`; default 30 s. */
  readonly graceMs?: number;
  /**
   * How connections to gateways grow old; default `DEFAULT_CONNECTION_AGE`. Those in stream mode are replaced
   * sooner.
   */
  readonly connectionAge?: ConnectionAge;
}

/** How soon a port that could not be bound is tried again. */
const RETRY_LISTEN_MS = 2000;
const ROUTES = 'routes of the egress';
/** Handshakes of `/try` at once, and how long an outcome is good for others who ask. */
const TRIES = { concurrency: 4, keepMs: 1000 };

/**
 * The relay for clients without a mesh: a listener for each mirrored port, mTLS and the transport header
 * towards the gateways. Routes come and go; a port that is taken by somebody else keeps only its own route
 * waiting.
 */
export class Egress {
  readonly counters: ProxyCounters;
  /** Clients that were refused here. */
  readonly refused: RefusedClients;
  readonly #options: EgressOptions;
  readonly #clock: Clock;
  readonly #pools: GatewayPools;
  readonly #parts: ClientParts;
  readonly #unsubscribe: () => void;
  readonly #peers: OpenPeers;
  /** Of the routes that there are. */
  #labels: ReadonlySet<string> = new Set();
  readonly #servers = new Map<number, RouteServer>();
  /** Routes that are gone, with flows that are not. */
  readonly #leaving = new Set<RouteServer>();
  readonly #failed = new Map<number, string>();
  /** Ports that are not what they should be, by a mistake of ours. */
  readonly #unsettled = new Set<number>();
  #routes: ReadonlyMap<number, Route> = new Map();
  readonly #tries: SharedWork<EgressTry>;
  #draining = false;

  constructor(options: EgressOptions) {
    this.counters = new ProxyCounters({
      known: (label) => this.#labels.has(label),
      clock: options.clock,
      onCaught: flowErrors(options),
    });
    this.#clock = containedClock(options.clock, (error) => this.counters.caught(error));
    this.#options = { ...options, clock: this.#clock };
    this.#peers = new OpenPeers({ ...this.#options, age: options.connectionAge });
    this.#pools = new GatewayPools({
      ...this.#options,
      counters: this.counters,
      onProven: (connection, socket) => this.#peers.add(connection, socket),
    });
    this.refused = new RefusedClients(options);
    this.#parts = {
      clients: options.clients ?? NO_CLIENTS,
      fields: new ClientFields(options.identity),
      refused: this.refused,
      policy: options.relayPolicy ?? 'all',
      namespaces: options.namespaceRules ?? NO_NAMESPACE_RULES,
      strangers: new Set(),
    };
    this.#unsubscribe = this.#parts.namespaces.subscribe((namespace) => this.#reconsider(namespace));
    this.#tries = new SharedWork({ clock: options.clock, ...TRIES });
  }

  /** Ports that are served. */
  get ports(): number[] {
    return [...this.#servers.keys()].filter((port) => !this.#failed.has(port));
  }

  /**
   * May traffic be sent here? A single port that cannot be bound does not make the others unusable; the
   * reason names it.
   */
  get ready(): Health {
    if (this.#draining) return { ok: false, reason: 'shutting down' };
    const { identity } = this.#options;
    if (!identity.ready.ok) return identity.ready;
    const unsettled = [...this.#unsettled].map(mistakeAt);
    return { ok: true, reason: [...this.#failed.values(), ...unsettled].join('; ') };
  }

  /** Makes the listeners those of these routes. */
  update(routes: ReadonlyMap<number, Route>): void {
    if (this.#draining) return;
    this.#routes = routes;
    this.#labels = new Set([...routes.values()].map(({ label }) => label));
    // First those that go: what comes may want what they hold.
    for (const port of this.#servers.keys()) this.#settle(port);
    for (const port of routes.keys()) if (!this.#servers.has(port)) this.#settle(port);
    this.#tellLeaving(routes);
  }

  /**
   * Makes what is served on a port what it should be. A mistake there harms no other port, and is tried
   * again.
   */
  #settle(port: number): void {
    const route = this.#routes.get(port);
    const server = this.#servers.get(port);
    this.#unsettled.delete(port);
    try {
      if (server !== undefined && (route === undefined || !sameWay(route, server.route)))
        this.#close(port, server);
      else if (server !== undefined && route !== undefined) server.follow(route);
      else if (route !== undefined) this.#open(port, route);
    } catch (error) {
      surface(error, ROUTES, { port: String(port) });
      this.#unsettled.add(port);
      const again = () => {
        if (!this.#unsettled.has(port) || this.#draining) return;
        this.#settle(port);
        if (this.#routes.has(port) && !this.#servers.has(port)) this.#settle(port);
        this.#tellLeaving(this.#routes);
      };
      this.#clock.after(RETRY_LISTEN_MS, again, { unref: true });
    }
  }

  /** Flows on a port that has been closed are let in by what lets in those of their mirror now. */
  #tellLeaving(routes: ReadonlyMap<number, Route>): void {
    for (const done of this.#leaving) if (done.size === 0) this.#leaving.delete(done);
    if (this.#leaving.size === 0) return;
    const byLabel = new Map([...routes.values()].map((route) => [route.label, route]));
    eachAlone(
      ROUTES,
      this.#leaving,
      (server) => server.left(byLabel.get(server.route.label)),
      (error, { route }) => surface(error, ROUTES, { port: String(route.listenPort) }),
    );
  }

  /**
   * Opens a connection to every gateway address now, with mTLS as flows do, and closes it; `GET /try` of the
   * admin port. Those who ask at the same time share it.
   */
  async tryGateways(): Promise<EgressTry[]> {
    const places = new Map<string, GatewayEndpoint>();
    for (const { places: own } of this.#servers.values())
      for (const place of own) places.set(`${place.host} ${place.port} ${place.identity}`, place);
    return Promise.all(
      [...places].map(([key, place]) => this.#tries.run(key, () => tryGateway(place, this.#options))),
    );
  }

  /** Takes nothing new, lets what is under way end within the grace, then ends it. */
  async stop(): Promise<void> {
    this.#draining = true;
    this.#unsubscribe();
    eachAlone(ROUTES, this.#servers, ([port, server]) => this.#close(port, server));
    const deadline = this.#clock.monotonic() + (this.#options.graceMs ?? 30_000);
    const open = () => [...this.#leaving].reduce((sum, server) => sum + server.size, 0);
    while (open() > 0 && this.#clock.monotonic() < deadline) await sleep(this.#clock, 50);
    if (open() > 0) this.#options.log.warn({ connections: open() }, 'grace is over, connections ended');
    eachAlone(ROUTES, [...this.#leaving, ...this.#servers.values()], (server) => server.destroy());
    this.#pools.destroy();
    this.#peers.close();
  }

  #reconsider(namespace: string | undefined): void {
    eachAlone('clients of routes', [...this.#servers.values(), ...this.#leaving], (server) => {
      if (namespace === undefined || server.route.namespace === namespace) server.reconsider();
    });
  }

  #open(port: number, route: Route): void {
    const server = new RouteServer(route, {
      ...this.#options,
      counters: this.counters,
      pools: this.#pools,
      parts: this.#parts,
      draining: () => this.#draining,
    });
    this.#servers.set(port, server);
    server.listen().then(
      () => {
        this.#failed.delete(port);
        this.#options.log.info(
          { port, mirror: route.label, target: targetKey(route.name, route.port) },
          'route served',
        );
      },
      (error: unknown) => this.#listenFailed(port, server, error),
    );
  }

  #listenFailed(port: number, server: RouteServer, error: unknown): void {
    if (this.#servers.get(port) !== server) return;
    const mistake = codeOf(error) === undefined;
    if (mistake) surface(error, ROUTES, { port: String(port) });
    else if (!this.#failed.has(port))
      this.#options.log.error(
        { port, mirror: server.route.label, err: error },
        'route not served, trying again',
      );
    this.#failed.set(port, mistake ? mistakeAt(port) : messageOf(error));
    this.#clock.after(
      RETRY_LISTEN_MS,
      () => {
        if (this.#servers.get(port) !== server || this.#draining) return;
        server.stopAccepting();
        this.#open(port, server.route);
      },
      { unref: true },
    );
  }

  #close(port: number, server: RouteServer): void {
    server.stopAccepting();
    this.#servers.delete(port);
    this.#failed.delete(port);
    for (const done of this.#leaving) if (done.size === 0) this.#leaving.delete(done);
    this.#leaving.add(server);
    this.#options.log.info({ port, mirror: server.route.label, flows: server.size }, 'route closed');
  }
}

function mistakeAt(port: number): string {
  return `port ${port}: internal error, see the log`;
}

/** Whether connections that were made for one are good for the other. */
function sameWay(a: Route, b: Route): boolean {
  const { requests, allowedNamespaces } = a;
  const said = { requests, allowedNamespaces };
  return isDeepStrictEqual({ ...a, ...said }, { ...b, ...said });
}
