import type { TrunkReport } from '../api/answers/trunk-report.ts';
import type { GatewayStats, StatsReport } from '../api/answers/stats-report.ts';
import type { EgressTry } from '../api/answers/admin-answers.ts';
import { isDeepStrictEqual } from 'node:util';
import { forEachIsolated, reportContained } from '../base/isolation.ts';
import { type Clock, containedClock, sleep } from '../base/clock.ts';
import { codeOf, messageOf } from '../api/errors/linkspan-error.ts';
import { SharedWork } from '../base/shared-work.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import { type ConnectionAge, OpenPeers } from '../identity/trust/open-peers.ts';
import type { HostNames } from '../dns/host-names.ts';
import type { AccessLog, OpenFlow } from '../proxy/downstream/access-log.ts';
import { Observers } from '../proxy/downstream/observers.ts';
import { ProxyCounters } from '../proxy/metrics/counters.ts';
import { flowStats, routeStats, targetStats } from '../proxy/metrics/stats.ts';
import type { TargetPlace } from '../proxy/metrics/exposition-labels.ts';
import type { Health } from '../telemetry/admin.ts';
import { flowErrors, type InternalErrorLogOptions } from '../telemetry/internal-error-log.ts';
import { type Clients, NO_CLIENTS } from './clients/client.ts';
import { ClientFields } from './clients/client-fields.ts';
import { type NamespaceRules, NO_NAMESPACE_RULES } from './clients/namespace-rules.ts';
import { RefusedClients } from './clients/refusals.ts';
import type { RelayPolicy } from './clients/relay-rule.ts';
import { LocalServices, type LocalServicesOptions } from './local/local-pods.ts';
import type { ClientParts } from './clients/route-clients.ts';
import { RouteServer, type RouteServerOptions } from './route-server.ts';
import { isApex, isGroup, labelsOf, type Route, targetsOf } from './routes/route.ts';
import type { Division } from './shares/division.ts';
import { GatewayAddresses } from './gateways/gateway-addresses.ts';
import { checkGatewayDial } from './gateways/gateway-dial-check.ts';
import type { GatewayEndpoint } from './gateways/gateway-pool-options.ts';
import { type GatewayNumbers, GatewayPools } from './gateways/gateway-pools.ts';

/** Settings of an egress, and what it is connected to. */
export interface EgressOptions
  extends Omit<
      RouteServerOptions,
      'counters' | 'draining' | 'pools' | 'addresses' | 'parts' | 'local' | 'accessLog'
    >,
    InternalErrorLogOptions {
  readonly identity: IdentitySource;
  /** Access log of all sessions; default none. */
  readonly accessLog?: AccessLog;
  /** Resolves host names of gateways. */
  readonly names: HostNames;
  /** Finds clients by their address; default: none is known. */
  readonly clients?: Clients;
  /** Annotations of Namespaces about their mirrors; default none. */
  readonly namespaceRules?: NamespaceRules;
  /** Who may use mirrors where neither they nor their Namespace have an annotation; default all. */
  readonly relayPolicy?: RelayPolicy;
  /** Whether flows share connections to gateways that support it (stream mode); default true. */
  readonly streams?: boolean;
  /** What this cluster is called, for gateways; default: they are not told. */
  readonly cluster?: string | undefined;
  /** The Services of this cluster that groups may lead to; default: none is known. */
  readonly local?: Pick<LocalServicesOptions, 'targets' | 'dial'>;
  /** How long flows may go on after `stop`, milliseconds; default 30,000. */
  readonly graceMs?: number;
  /**
   * Maximum age of connections to gateways; default `DEFAULT_CONNECTION_AGE`. Those in stream mode are
   * replaced sooner.
   */
  readonly connectionAge?: ConnectionAge;
}

/** How soon a port that could not be bound is tried again, milliseconds. */
const RETRY_LISTEN_MS = 2000;
const ROUTES = 'routes of the egress';
/**
 * Handshakes of `/try` at the same time, and how long a result is shared with further requests, milliseconds.
 */
const DIAL_CHECKS = { concurrency: 4, keepMs: 1000 };

/**
 * The relay for clients without a mesh: a listener for each mirrored port, mTLS and the transport header
 * towards the gateways. Routes are added and removed while it runs; a port that another program has delays
 * only its own route.
 */
export class Egress {
  readonly counters: ProxyCounters;
  /** Counters of refused clients. */
  readonly refused: RefusedClients;
  /** Who looks at requests as they end. */
  readonly observers: Observers;
  readonly #options: EgressOptions;
  readonly #clock: Clock;
  readonly #pools: GatewayPools;
  readonly #addresses: GatewayAddresses;
  readonly #parts: ClientParts;
  readonly #local: LocalServices | undefined;
  /** One for all: there may be thousands of routes. */
  readonly #routeOptions: RouteServerOptions;
  readonly #unsubscribe: () => void;
  readonly #peers: OpenPeers;
  /** Labels of the current routes, and where each leads. */
  #labels: ReadonlyMap<string, TargetPlace | undefined> = new Map();
  /** The same of former routes whose numbers are still kept. */
  #formerLabels: ReadonlyMap<string, TargetPlace> = new Map();
  /** By listening port. */
  readonly #servers = new Map<number, RouteServer>();
  /** Servers of closed routes that still have flows. */
  readonly #leaving = new Set<RouteServer>();
  /** Ports that could not be bound, with why not. */
  readonly #failed = new Map<number, string>();
  /** Ports whose last update failed by an internal error, to be tried again. */
  readonly #unsettled = new Set<number>();
  #routes: ReadonlyMap<number, Route> = new Map();
  readonly #dialChecks: SharedWork<EgressTry>;
  #draining = false;

  constructor(options: EgressOptions) {
    this.counters = new ProxyCounters({
      known: (label) => this.#labels.has(label),
      clock: options.clock,
      onCaught: flowErrors(options),
    });
    this.#clock = containedClock(options.clock, (error) => this.counters.caught(error));
    this.#options = { ...options, clock: this.#clock };
    this.observers = new Observers(this.counters);
    if (options.accessLog !== undefined) this.observers.add(options.accessLog);
    this.#peers = new OpenPeers({ ...this.#options, age: options.connectionAge });
    this.#pools = new GatewayPools({
      ...this.#options,
      counters: this.counters,
      onProven: (connection, socket) => this.#peers.add(connection, socket),
    });
    this.#addresses = new GatewayAddresses(options.names);
    if (options.local !== undefined) {
      const { counters } = this;
      this.#local = new LocalServices({ ...this.#options, ...options.local, counters, peers: this.#peers });
    }
    this.refused = new RefusedClients(options);
    this.#parts = {
      clients: options.clients ?? NO_CLIENTS,
      fields: new ClientFields(options.identity),
      refused: this.refused,
      policy: options.relayPolicy ?? 'all',
      namespaces: options.namespaceRules ?? NO_NAMESPACE_RULES,
      strangers: new Set(),
    };
    this.#routeOptions = {
      ...this.#options,
      counters: this.counters,
      pools: this.#pools,
      addresses: this.#addresses,
      local: this.#local,
      parts: this.#parts,
      accessLog: this.observers,
      draining: () => this.#draining,
    };
    this.#unsubscribe = this.#parts.namespaces.subscribe((namespace) => this.#reconsider(namespace));
    this.#dialChecks = new SharedWork({ clock: options.clock, ...DIAL_CHECKS });
  }

  /** Ports that are listened on. */
  get ports(): number[] {
    return [...this.#servers.keys()].filter((port) => !this.#failed.has(port));
  }

  /**
   * Whether clients can be served. A single port that cannot be bound does not make the egress unready; the
   * reason names it.
   */
  get ready(): Health {
    if (this.#draining) return { ok: false, reason: 'shutting down' };
    const { identity } = this.#options;
    if (!identity.ready.ok) return identity.ready;
    const unsettled = [...this.#unsettled].map(mistakeAt);
    return { ok: true, reason: [...this.#failed.values(), ...unsettled].join('; ') };
  }

  /** Opens, updates and closes listeners so that these routes are served. */
  update(routes: ReadonlyMap<number, Route>): void {
    if (this.#draining) return;
    this.#routes = routes;
    this.#relabel(routes.values());
    // Existing ports first: new routes may need what they release.
    for (const port of this.#servers.keys()) this.#settle(port);
    for (const port of routes.keys()) if (!this.#servers.has(port)) this.#settle(port);
    this.#tellLeaving(routes);
  }

  /** Where what is counted under a label goes; undefined: not to one other cluster. */
  placeOf(label: string): TargetPlace | undefined {
    return this.#labels.get(label) ?? this.#formerLabels.get(label);
  }

  #relabel(routes: Iterable<Route>): void {
    const labels = new Map([...routes].flatMap(labelsOf));
    const former = new Map<string, TargetPlace>();
    // A series keeps its labels for as long as it is there.
    for (const label of this.counters.targets.keys()) {
      const place = labels.has(label) ? undefined : this.placeOf(label);
      if (place !== undefined) former.set(label, place);
    }
    this.#labels = labels;
    this.#formerLabels = former;
  }

  /** Brings one port in line with its route. An internal error affects no other port, and is tried again. */
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
      reportContained(error, ROUTES, { port: String(port) });
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

  /** Applies the current rules of a mirror to flows of its port that has been closed. */
  #tellLeaving(routes: ReadonlyMap<number, Route>): void {
    for (const done of this.#leaving) if (done.size === 0) this.#leaving.delete(done);
    if (this.#leaving.size === 0) return;
    const byLabel = new Map([...routes.values()].map((route) => [route.label, route]));
    forEachIsolated(
      ROUTES,
      this.#leaving,
      (server) => server.replacedBy(byLabel.get(server.route.label)),
      (error, { route }) => reportContained(error, ROUTES, { port: String(route.listenPort) }),
    );
  }

  /**
   * Opens a connection to every gateway address, with mTLS as for flows, and closes it; for `GET /try` of the
   * admin port. Concurrent requests share the work.
   */
  async tryGateways(): Promise<EgressTry[]> {
    const endpoints = new Map<string, GatewayEndpoint>();
    for (const { gatewayEndpoints } of this.#servers.values())
      for (const endpoint of gatewayEndpoints)
        endpoints.set(`${endpoint.host} ${endpoint.port} ${endpoint.identity}`, endpoint);
    return Promise.all(
      [...endpoints].map(([key, endpoint]) =>
        this.#dialChecks.run(key, () => checkGatewayDial(endpoint, this.#options)),
      ),
    );
  }

  /**
   * For how long connections to a cluster that is a member of groups have been alive without a break,
   * milliseconds; undefined: they are not, or there are none.
   */
  provenMs(cluster: string): number | undefined {
    // All routes to a cluster share the connections to its gateway.
    for (const server of this.#servers.values()) {
      const ms = server.provenMs(cluster);
      if (ms !== undefined) return ms;
    }
    return undefined;
  }

  /** How the requests of each rule of users' Services are divided now, by what the rules are called. */
  *ruleDivisions(): Generator<readonly [group: string, division: Division]> {
    for (const server of this.#servers.values()) yield* server.ruleDivisions();
  }

  /** What this pod knows of gateway addresses by its own connections; for `GET /trunks` of the admin port. */
  get trunks(): TrunkReport[] {
    return this.#pools.reports();
  }

  /** What is under way, for somebody who looks. */
  *openFlows(): Generator<OpenFlow> {
    for (const server of [...this.#servers.values(), ...this.#leaving]) yield* server.openFlows();
  }

  /** What has been counted since the start, for `GET /stats`. */
  async stats(): Promise<Pick<StatsReport, 'targets' | 'flows' | 'gateways' | 'routes'>> {
    const gateways = this.gateways.map(({ gateway: address, roundTrip, ...numbers }): GatewayStats => {
      if (roundTrip === undefined) return { address, ...numbers };
      return { address, ...numbers, rttMs: { mean: roundTrip.meanMs, least: roundTrip.leastMs } };
    });
    const placeOf = (label: string) => this.placeOf(label);
    const view = this.counters.view();
    const [targets, routes] = [await targetStats(view, { placeOf }), await routeStats(view)];
    return { targets, flows: flowStats(this.counters.pairs.numbers()), gateways, routes };
  }

  /** What is known and counted of each gateway address; for metrics. */
  get gateways(): GatewayNumbers[] {
    return this.#pools.numbers();
  }

  /** Accepts nothing new, waits for the flows to end within the grace period, then cuts them. */
  async stop(): Promise<void> {
    this.#draining = true;
    this.#unsubscribe();
    forEachIsolated(ROUTES, this.#servers, ([port, server]) => this.#close(port, server));
    const deadline = this.#clock.monotonic() + (this.#options.graceMs ?? 30_000);
    const open = () => [...this.#leaving].reduce((sum, server) => sum + server.size, 0);
    while (open() > 0 && this.#clock.monotonic() < deadline) await sleep(this.#clock, 50);
    if (open() > 0) this.#options.log.warn({ connections: open() }, 'grace is over, connections ended');
    forEachIsolated(ROUTES, [...this.#leaving, ...this.#servers.values()], (server) => server.destroy());
    this.#pools.destroy();
    this.#local?.close();
    this.#peers.close();
  }

  /** Applies changed rules about clients to the mirrors of a namespace; undefined: to all. */
  #reconsider(namespace: string | undefined): void {
    forEachIsolated('clients of routes', [...this.#servers.values(), ...this.#leaving], (server) => {
      if (namespace === undefined || isAbout(namespace, server.route)) server.reconsider();
    });
  }

  #open(port: number, route: Route): void {
    const server = new RouteServer(route, this.#routeOptions);
    this.#servers.set(port, server);
    server.listen().then(
      () => {
        this.#failed.delete(port);
        this.#options.log.info({ port, mirror: route.label, target: targetsOf(route) }, 'route served');
      },
      (error: unknown) => this.#listenFailed(port, server, error),
    );
  }

  #listenFailed(port: number, server: RouteServer, error: unknown): void {
    if (this.#servers.get(port) !== server) return;
    const mistake = codeOf(error) === undefined;
    if (mistake) reportContained(error, ROUTES, { port: String(port) });
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

/**
 * Whether a server can go on with the other route (`RouteServer.follow`): they differ in nothing but their
 * settings for requests and clients, in a group's members, and in an apex's rules and backends.
 */
function sameWay(a: Route, b: Route): boolean {
  if (a === b) return true;
  const { requests, allowedNamespaces } = a;
  const said = { requests, allowedNamespaces };
  let followed: object = said;
  if (isGroup(a) && isGroup(b)) followed = { ...said, members: [], local: undefined };
  if (isApex(a) && isApex(b))
    followed = { ...said, routing: undefined, groups: [], backends: [], leftOut: undefined };
  return isDeepStrictEqual({ ...a, ...followed }, { ...b, ...followed });
}

/** Whether what a namespace says of its clients concerns a route. */
function isAbout(namespace: string, route: Route): boolean {
  if (route.namespace === namespace) return true;
  return isApex(route) && route.backends.some((backend) => backend.namespace === namespace);
}
