import { CLIENT_ID, DST_CANONICAL } from '../api/linkerd/proxy-fields.ts';
import { targetKey } from '../api/ports/target-key.ts';
import { eachAlone } from '../base/isolation.ts';
import type { SocketAddress } from '../base/address.ts';
import type { Random } from '../base/backoff.ts';
import { containedClock, sleep } from '../base/clock.ts';
import type { TargetSource } from '../discovery/target-spec.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import { type ConnectionAge, OpenPeers } from '../identity/trust/open-peers.ts';
import { serve } from '../proxy/downstream/serve.ts';
import { type AccessLog, containedLog, NO_ACCESS_LOG } from '../proxy/metrics/access-log.ts';
import { ProxyCounters } from '../proxy/metrics/counters.ts';
import { contained } from '../proxy/http/failure-boundary.ts';
import type { Connection } from '../proxy/io/connection.ts';
import { makeField } from '../proxy/http/fields.ts';
import type { Session } from '../proxy/downstream/session.ts';
import { type ClaimedProtocol, clientProtocolOf } from '../proxy/downstream/client-protocol.ts';
import type { Health } from '../telemetry/admin.ts';
import { flowErrors, type InternalErrorLogOptions } from '../telemetry/internal-error-log.ts';
import { ConnectionAdmission, type AdmissionLimits } from '../base/connection-admission.ts';
import { ownLimits } from './admission/admission-limits.ts';
import { forwardedElement } from './authorization/forwarded.ts';
import { FixedAcceptor, type FixedListener } from './acceptors/fixed-acceptor.ts';
import { AdmissionFilters } from './admission/admission-filters.ts';
import { type AccessFacts, ClientAccess } from './client-access.ts';
import { lookUp, Presence, type ServiceEntry, ServiceTable } from './service-table.ts';
import { type Arrival, HeaderAcceptor } from './acceptors/header-acceptor.ts';
import { type Acceptor, MtlsListener } from './acceptors/mtls-listener.ts';
import { NO_POLICIES, type PolicySource } from './authorization/policy-source.ts';
import { type Asking, askingVia, TrustedRelays } from './authorization/trusted-relays.ts';
import { StreamSession, type StreamContext } from './acceptors/stream-session.ts';

export interface GatewayOptions extends InternalErrorLogOptions {
  /** For clients with a transport header: other clusters. */
  readonly listen: SocketAddress;
  /** Ports for one service each, for clients without; default none. */
  readonly listeners?: readonly FixedListener[];
  readonly identity: IdentitySource;
  readonly targets: TargetSource;
  readonly random: Random;
  /** How long flows may go on after `stop`; default 30 s. */
  readonly graceMs?: number;
  /** Several processes take connections from the same port; default false. */
  readonly reusePort?: boolean;
  /** Processes that share the port, of which each lets through its part of a rate limit; default 1. */
  readonly workers?: number;
  /** Requests without an answer and raw flows of one service; more are refused. Default 10,000. */
  readonly maxPending?: number;
  /** Connections at the same time; default: what this process' memory bears. */
  readonly admission?: AdmissionLimits;
  /** Time for a client's handshake, and again for its transport header; default 10 s. */
  readonly detectTimeoutMs?: number;
  /** Where sessions say what they carried; default nowhere. */
  readonly accessLog?: AccessLog;
  /**
   * What the cluster says about who may use what, beside the exported Services themselves; default nothing.
   */
  readonly policies?: PolicySource;
  /** Trust domains beside the gateway's own whose identities may come in; default none. */
  readonly allowTrustDomains?: readonly string[];
  /**
   * How connections, of clients and to pods with a mesh proxy, grow old; default `DEFAULT_CONNECTION_AGE`.
   */
  readonly connectionAge?: ConnectionAge;
  /** Let our own egress carry all its flows on a few connections (stream mode); default true. */
  readonly streams?: boolean;
  /** Identities of relays (our own egress) that are believed who their clients are; default none. */
  readonly trustedRelays?: readonly string[];
}

const EMPTY = Buffer.alloc(0);
/**
 * Who says that its bytes are none of HTTP has looked for long enough already, or knows: a server that speaks
 * first is not kept waiting. It is looked at all the same.
 */
const QUIET_MS = 0;

/**
 * A cluster's entry for the traffic of other clusters: who comes in proves who it is, says which exported
 * Service it wants, and is balanced over its endpoints.
 */
export class Gateway {
  readonly counters: ProxyCounters;
  readonly #options: GatewayOptions;
  readonly #listeners: readonly MtlsListener[];
  readonly #peers: OpenPeers;
  readonly #services: ServiceTable;
  readonly #access: AccessFacts;
  readonly #streamSessions = new Set<StreamSession>();
  readonly #policies: PolicySource;
  readonly #relays: TrustedRelays;
  readonly #unsubscribe: () => void;
  #draining = false;

  constructor(options: GatewayOptions) {
    const { targets, random, accessLog = NO_ACCESS_LOG, workers = 1 } = options;
    this.counters = new ProxyCounters({
      known: (label) => lookUp(targets, label) !== undefined,
      clock: options.clock,
      onCaught: flowErrors(options),
    });
    const clock = containedClock(options.clock, (error) => this.counters.caught(error));
    this.#options = { ...options, clock, accessLog: containedLog(accessLog, this.counters) };
    this.#relays = new TrustedRelays(options.trustedRelays);
    this.#peers = new OpenPeers({ ...this.#options, age: options.connectionAge });
    this.#listeners = this.#openings();
    this.#policies = options.policies ?? NO_POLICIES;
    const { counters } = this;
    const shared = { ...this.#options, counters, policies: this.#policies };
    const filters = new AdmissionFilters({ counters, clock, random, workers });
    this.#services = new ServiceTable({ ...shared, peers: this.#peers, filters });
    this.#access = { ...shared, services: this.#services };
    const subscriptions = [
      targets.subscribe((key) => contained(counters, () => this.#services.changed(key))),
      this.#policies.subscribe((namespace) =>
        contained(counters, () => this.#services.policiesChanged(namespace)),
      ),
    ];
    this.#unsubscribe = () => subscriptions.forEach((unsubscribe) => unsubscribe());
  }

  /** May traffic be sent here? */
  get ready(): Health {
    if (this.#draining) return { ok: false, reason: 'shutting down' };
    const { identity, targets } = this.#options;
    const healths = [identity.ready, targets.ready, this.#policies.ready];
    return healths.find((health) => !health.ok) ?? targets.ready;
  }

  /** Endpoints by `name:port`, of the services that have been asked for. */
  get balancers(): Record<string, { readonly ready: number; readonly known: number }> {
    return this.#services.balancers;
  }

  /**
   * @returns the bound addresses: that of `listen`, and those of the fixed listeners
   * @throws LinkspanError PORT_IN_USE
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

  /** Takes nothing new, lets what is under way end within the grace, then ends it. */
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
    eachAlone('listeners', this.#listeners, (listener) => listener.destroy());
    eachAlone('targets', this.#services.entries, ({ target }) => target.close());
    this.#peers.close();
  }

  /** The ports, and what stands behind each. */
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
      admission: new ConnectionAdmission(this.#options.admission ?? ownLimits(this.#options.workers ?? 1)),
    };
    const onArrival = (arrival: Arrival) => this.#arrived(arrival);
    const open = (address: SocketAddress, acceptor: Acceptor) =>
      new MtlsListener({ ...shared, address, acceptor });
    const onStreams = streams
      ? (connection: Connection, client: string, agreed: boolean) => this.#streams(connection, client, agreed)
      : undefined;
    const namesClients = this.#relays.any;
    const accepting = { counters, clock, log, onArrival, timeoutMs, onStreams, namesClients };
    return [
      open(listen, new HeaderAcceptor(accepting)),
      ...listeners.map((listener) => open(listener.address, new FixedAcceptor({ listener, onArrival }))),
    ];
  }

  #arrived({ connection, clientIdentity, header, first }: Arrival): void {
    if (header.name === '') {
      // A gateway stands for other services only; a header without a name would mean the gateway's own ports.
      this.counters.refuse('nameless header');
      connection.destroy();
      return;
    }
    const { protocol } = header;
    const { entry, session } = this.#session(connection, { identity: clientIdentity }, header);
    this.#options.log.debug({ client: clientIdentity, target: entry.label, protocol }, 'connection accepted');
    this.#serve(entry, session, protocol, first);
  }

  /** A connection of our own egress. */
  #streams(connection: Connection, relay: string, namesClients: boolean): void {
    const { clock, targets, log } = this.#options;
    const clients = this.#relays.wordOf(relay, namesClients);
    log.debug({ client: relay, clients }, 'connection in stream mode accepted');
    const session = new StreamSession({
      connection,
      clock,
      counters: this.counters,
      clients,
      exported: (name, port) => targets.get(name, port) !== undefined,
      context: (name, port, client) => this.#context(connection, askingVia(relay, client), { name, port }),
    });
    this.#streamSessions.add(session);
    connection.whenClosed(() => this.#streamSessions.delete(session));
    session.start();
    if (this.#draining) session.drain();
  }

  #context(
    connection: Connection,
    asking: Asking,
    asked: { readonly name: string; readonly port: number },
  ): StreamContext {
    const { entry, session } = this.#session(connection, asking, asked);
    const presence = new Presence();
    entry.flows.add(presence);
    return {
      session,
      serve: (client, protocol) => this.#serve(entry, { ...session, client }, protocol, EMPTY),
      leave: () => this.#services.leave(entry, presence),
    };
  }

  /** What a client needs to be served a service. */
  #session(
    client: Connection,
    { identity: clientIdentity, via }: Asking,
    asked: { readonly name: string; readonly port: number },
  ): { readonly entry: ServiceEntry; readonly session: Session } {
    const { clock, identity, accessLog = NO_ACCESS_LOG } = this.#options;
    const own = identity.current()?.name ?? '';
    const label = targetKey(asked.name, asked.port);
    const host = asked.port === 80 ? asked.name : label;
    const entry = this.#services.entry(label);
    const address = client.remoteAddress;
    const access = new ClientAccess(this.#access, { own, client: clientIdentity, address, entry });
    const session: Session = {
      client,
      target: entry.target,
      rules: {
        host,
        added: [
          makeField('forwarded', forwardedElement(own, clientIdentity, label)),
          makeField(CLIENT_ID, clientIdentity),
          makeField(DST_CANONICAL, label),
        ],
      },
      check: (head) => access.check(head),
      draining: () => this.#draining,
      counters: this.counters,
      accessLog,
      clientName: clientIdentity,
      via,
      clock,
    };
    return { entry, session };
  }

  /** @param claim what the client says that it speaks, of which only the port's own word makes anything */
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
