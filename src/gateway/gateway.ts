import type { Tracer } from '../proxy/tracing/tracer.ts';
import { targetKey } from '../api/ports/target-key.ts';
import { forEachIsolated } from '../base/isolation.ts';
import type { SocketAddress } from '../base/address.ts';
import type { Random } from '../base/backoff.ts';
import { containedClock, sleep } from '../base/clock.ts';
import type { TargetSource } from '../discovery/target-spec.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import { type ConnectionAge, OpenPeers } from '../identity/trust/open-peers.ts';
import { serve } from '../proxy/downstream/serve.ts';
import type { AccessLog, OpenFlow } from '../proxy/downstream/access-log.ts';
import { Observers } from '../proxy/downstream/observers.ts';
import { ProxyCounters } from '../proxy/metrics/counters.ts';
import type { Table } from '../proxy/metrics/counters-view.ts';
import type { BalancerCounts } from './gateway-metrics.ts';
import { contained } from '../proxy/http/failure-boundary.ts';
import type { Connection } from '../proxy/io/connection.ts';
import type { Session } from '../proxy/downstream/session.ts';
import { type ClaimedProtocol, clientProtocolOf } from '../proxy/downstream/client-protocol.ts';
import type { Health } from '../telemetry/admin.ts';
import { flowErrors, type InternalErrorLogOptions } from '../telemetry/internal-error-log.ts';
import { ConnectionAdmission, type ConnectionLimits } from '../base/connection-admission.ts';
import { ownLimits } from './connection-limits.ts';
import { trustDomainsOfGateway } from '../identity/names/trust-domain.ts';
import { GatewayHeadRules } from './gateway-head-rules.ts';
import { FixedAcceptor, type FixedListener } from './acceptors/fixed-acceptor.ts';
import { RequestFilters } from './request-filters.ts';
import { type AccessFacts, ClientAccess } from './client-access.ts';
import { ClientTarget } from './client-target.ts';
import { lookUp, ServiceReference, type ServiceEntry, ServiceTable } from './service-table.ts';
import { type AuthenticatedConnection, HeaderAcceptor } from './acceptors/header-acceptor.ts';
import { type Acceptor, MtlsListener } from './acceptors/mtls-listener.ts';
import { NO_POLICIES, type PolicySource } from './authorization/policy-source.ts';
import { SourceClusters } from './authorization/source-clusters.ts';
import { type RequestingClient, clientVia, TrustedRelays } from './authorization/trusted-relays.ts';
import { StreamSession, type StreamContext } from './acceptors/stream-session.ts';

/** Settings of a gateway, and what it is connected to. */
export interface GatewayOptions extends InternalErrorLogOptions {
  /** Address of the port for other clusters, whose clients send a transport header. */
  readonly listen: SocketAddress;
  /** Ports that stand for one service each, for clients without a transport header; default none. */
  readonly listeners?: readonly FixedListener[];
  readonly identity: IdentitySource;
  readonly targets: TargetSource;
  readonly random: Random;
  /** How long flows may go on after `stop`, milliseconds; default 30,000. */
  readonly graceMs?: number;
  /** Several processes accept connections on the same port (SO_REUSEPORT); default false. */
  readonly reusePort?: boolean;
  /** Number of processes that share the port, each of which enforces its part of a rate limit; default 1. */
  readonly workers?: number;
  /** Most requests without a response and raw flows of one service; more are refused. Default 10,000. */
  readonly maxPending?: number;
  /** Limits of concurrent connections; default: by this process' memory. */
  readonly connectionLimits?: ConnectionLimits;
  /** Time for a client's handshake, and again for its transport header, milliseconds; default 10,000. */
  readonly detectTimeoutMs?: number;
  /** Access log of all sessions; default none. */
  readonly accessLog?: AccessLog;
  /** Records requests of all sessions; default: none is recorded. */
  readonly tracer?: Tracer | undefined;
  /** Policies of the cluster beside the exported Services' annotations; default none. */
  readonly policies?: PolicySource;
  /** Trust domains, beside the gateway's own, whose identities are admitted; default none. */
  readonly allowTrustDomains?: readonly string[];
  /**
   * Maximum age of connections, from clients and to pods with a mesh proxy; default `DEFAULT_CONNECTION_AGE`.
   */
  readonly connectionAge?: ConnectionAge;
  /** Whether our own egress may carry all its flows on a few connections (stream mode); default true. */
  readonly streams?: boolean;
  /** Identities of relays (our own egress) that are trusted to name their clients; default none. */
  readonly trustedRelays?: readonly string[];
}

const EMPTY = Buffer.alloc(0);
/**
 * How long a client that declares a raw protocol may be silent before an endpoint is dialled, milliseconds:
 * not at all, because its own proxy has detected or knows the protocol, and the server may speak first. What
 * the client then sends is still inspected.
 */
const QUIET_MS = 0;

/**
 * A cluster's entry for the traffic of other clusters: clients authenticate with mTLS, name an exported
 * Service, and are balanced over its endpoints.
 */
export class Gateway {
  readonly counters: ProxyCounters;
  /** Who looks at requests as they end. */
  readonly observers: Observers;
  readonly #options: GatewayOptions;
  readonly #listeners: readonly MtlsListener[];
  readonly #peers: OpenPeers;
  readonly #services: ServiceTable;
  readonly #access: AccessFacts;
  readonly #streamSessions = new Set<StreamSession>();
  readonly #policies: PolicySource;
  readonly #sources = new SourceClusters();
  readonly #relays: TrustedRelays;
  readonly #unsubscribe: () => void;
  #draining = false;

  constructor(options: GatewayOptions) {
    const { targets, random, accessLog, workers = 1 } = options;
    this.counters = new ProxyCounters({
      known: (label) => lookUp(targets, label) !== undefined || this.#services.isLeaf(label),
      clock: options.clock,
      onCaught: flowErrors(options),
    });
    const clock = containedClock(options.clock, (error) => this.counters.caught(error));
    this.#options = { ...options, clock };
    this.observers = new Observers(this.counters);
    if (accessLog !== undefined) this.observers.add(accessLog);
    this.#relays = new TrustedRelays(options.trustedRelays);
    this.#peers = new OpenPeers({ ...this.#options, age: options.connectionAge });
    this.#listeners = this.#openings();
    this.#policies = options.policies ?? NO_POLICIES;
    const { counters } = this;
    const shared = { ...this.#options, counters, policies: this.#policies };
    const filters = new RequestFilters({ counters, clock, random, workers });
    this.#services = new ServiceTable({ ...shared, peers: this.#peers, filters });
    this.#access = {
      ...shared,
      services: this.#services,
      trustDomains: trustDomainsOfGateway(options.allowTrustDomains ?? []),
    };
    const subscriptions = [
      targets.subscribe((key) => contained(counters, () => this.#services.changed(key))),
      this.#policies.subscribe((namespace) =>
        contained(counters, () => this.#services.policiesChanged(namespace)),
      ),
    ];
    this.#unsubscribe = () => subscriptions.forEach((unsubscribe) => unsubscribe());
  }

  /** Whether traffic can be sent here. */
  get ready(): Health {
    if (this.#draining) return { ok: false, reason: 'shutting down' };
    const { identity, targets } = this.#options;
    const healths = [identity.ready, targets.ready, this.#policies.ready];
    return healths.find((health) => !health.ok) ?? targets.ready;
  }

  /** Numbers of endpoints by `name:port`, for services that have been requested. */
  get balancers(): Table<BalancerCounts> {
    return this.#services.balancers;
  }

  /** What is under way, for somebody who looks. */
  *openFlows(): Generator<OpenFlow> {
    for (const { flows } of this.#services.entries) for (const flow of flows) yield* flow.underWay();
    for (const session of this.#streamSessions) yield* session.underWay();
  }

  /**
   * Binds all ports and accepts connections.
   * @returns the bound addresses: that of `listen`, and those of the fixed listeners
   * @throws LinkspanError of `listenOn`
   */
  async start(): Promise<readonly [SocketAddress, ...SocketAddress[]]> {
    const bound: SocketAddress[] = [];
    try {
      for (const listener of this.#listeners) bound.push(await listener.listen());
    } catch (error) {
      for (const listener of this.#listeners) listener.stopAccepting();
      throw error;
    }
    const [first = this.#options.listen, ...others] = bound;
    return [first, ...others];
  }

  /** Accepts nothing new, waits for the flows to end within the grace period, then cuts them. */
  async stop(): Promise<void> {
    const { clock, graceMs = 30_000, log } = this.#options;
    this.#draining = true;
    this.#unsubscribe();
    for (const listener of this.#listeners) listener.stopAccepting();
    for (const { flows } of this.#services.entries)
      for (const flow of flows) contained(this.counters, () => flow.drain());
    for (const session of this.#streamSessions) contained(this.counters, () => session.drain());
    const deadline = clock.monotonic() + graceMs;
    const open = () => this.#listeners.reduce((sum, { size }) => sum + size, 0);
    while (open() > 0 && clock.monotonic() < deadline) await sleep(clock, 50);
    if (open() > 0) log.warn({ connections: open() }, 'grace is over, connections ended');
    forEachIsolated('listeners', this.#listeners, (listener) => listener.destroy());
    forEachIsolated('targets', this.#services.entries, ({ target, routes }) => {
      target.close();
      routes?.close();
    });
    this.#peers.close();
  }

  /** The listeners of all ports, with their acceptors. */
  #openings(): readonly MtlsListener[] {
    const { listen, listeners = [], identity, clock, log } = this.#options;
    const { reusePort = false, detectTimeoutMs: timeoutMs = 10_000, streams = true } = this.#options;
    const { counters } = this;
    const shared = {
      identity,
      clock,
      log,
      counters,
      peers: this.#peers,
      detectTimeoutMs: timeoutMs,
      reusePort,
      admission: new ConnectionAdmission(
        this.#options.connectionLimits ?? ownLimits(this.#options.workers ?? 1),
      ),
    };
    const onAuthenticated = (connection: AuthenticatedConnection) => this.#accept(connection);
    const open = (address: SocketAddress, acceptor: Acceptor) =>
      new MtlsListener({ ...shared, address, acceptor });
    const onStreams = streams
      ? (connection: Connection, client: string, agreed: boolean) => this.#streams(connection, client, agreed)
      : undefined;
    const namesClients = this.#relays.any;
    const accepting = { counters, clock, log, onAuthenticated, timeoutMs, onStreams, namesClients };
    return [
      open(listen, new HeaderAcceptor(accepting)),
      ...listeners.map((listener) =>
        open(listener.address, new FixedAcceptor({ listener, onAuthenticated })),
      ),
    ];
  }

  #accept({ connection, clientIdentity, header, first }: AuthenticatedConnection): void {
    if (header.name === '') {
      // A header without a name means a port of the proxy's own pod, and a gateway serves only other
      // services.
      this.counters.refuse('nameless header');
      connection.destroy();
      return;
    }
    const { protocol } = header;
    const { entry, session } = this.#session(connection, { identity: clientIdentity }, header);
    this.#options.log.debug({ client: clientIdentity, target: entry.label, protocol }, 'connection accepted');
    this.#serve(entry, session, protocol, first);
  }

  /** Serves a connection in stream mode, from an egress of ours. */
  #streams(connection: Connection, relay: string, namesClients: boolean): void {
    const { clock, targets, log } = this.#options;
    const clients = this.#relays.clientNamesFrom(relay, namesClients);
    log.debug({ client: relay, clients }, 'connection in stream mode accepted');
    let from: Session['from'];
    const session = new StreamSession({
      connection,
      clock,
      counters: this.counters,
      clients,
      exported: (name, port) => targets.get(name, port) !== undefined,
      onCluster: (cluster) => {
        from ??= this.#sources.of(relay, this.#options.identity.current()?.name ?? '', cluster);
      },
      context: (name, port, client) =>
        this.#context(connection, { ...clientVia(relay, client), from }, { name, port }),
    });
    this.#streamSessions.add(session);
    connection.whenClosed(() => this.#streamSessions.delete(session));
    session.start();
    if (this.#draining) session.drain();
  }

  /** What the flows of one client to one service share, in stream mode. */
  #context(
    connection: Connection,
    asking: RequestingClient & { readonly from: Session['from'] },
    asked: { readonly name: string; readonly port: number },
  ): StreamContext {
    const { entry, session } = this.#session(connection, asking, asked);
    const presence = new ServiceReference();
    entry.flows.add(presence);
    return {
      session,
      serve: (client, protocol) => this.#serve(entry, { ...session, client }, protocol, EMPTY),
      leave: () => this.#services.leave(entry, presence),
    };
  }

  /** The session of a client that uses a service. */
  #session(
    client: Connection,
    { identity: clientIdentity, via, from }: RequestingClient & { readonly from?: Session['from'] },
    asked: { readonly name: string; readonly port: number },
  ): { readonly entry: ServiceEntry; readonly session: Session } {
    const { clock, identity, tracer } = this.#options;
    const own = identity.current()?.name ?? '';
    const label = targetKey(asked.name, asked.port);
    const host = asked.port === 80 ? asked.name : label;
    const entry = this.#services.entry(label);
    const address = client.remoteAddress;
    const access = new ClientAccess(this.#access, { own, client: clientIdentity, address, entry });
    const target = new ClientTarget(entry, (backend) => access.leaf(backend));
    const session: Session = {
      client,
      target,
      rules: new GatewayHeadRules({ own, client: clientIdentity, label }, host),
      check: (head) => access.check(head) ?? (head === undefined ? target.recheck() : undefined),
      draining: () => this.#draining,
      counters: this.counters,
      accessLog: this.observers,
      tracer,
      clientName: clientIdentity,
      kept: undefined,
      from,
      via,
      clock,
    };
    return { entry, session };
  }

  /**
   * Serves a connection.
   * @param claim the protocol that the client declares; `clientProtocolOf` weighs it against what is declared
   * of the port
   * @param first bytes that have been read already
   */
  #serve(entry: ServiceEntry, session: Session, claim: ClaimedProtocol, first: Buffer): void {
    const { client, clock } = session;
    const protocol = clientProtocolOf(claim, entry.spec?.protocol);
    const flow = serve(
      protocol,
      { client, clock, boundary: this.counters, quietMs: QUIET_MS, session: () => session },
      first,
    );
    entry.flows.add(flow);
    client.whenClosed(() => this.#services.leave(entry, flow));
  }
}
