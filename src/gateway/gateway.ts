import { serviceOf, targetKey } from '../api/ports/target-key.ts';
import { eachAlone } from '../base/isolation.ts';
import type { SocketAddress } from '../base/address.ts';
import type { Random } from '../base/backoff.ts';
import { containedClock, sleep } from '../base/clock.ts';
import type { TargetSource, TargetSpec } from '../discovery/target-spec.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import { type ConnectionAge, OpenPeers } from '../identity/trust/open-peers.ts';
import { serve } from '../proxy/downstream/serve.ts';
import { type AccessLog, containedLog, NO_ACCESS_LOG } from '../proxy/metrics/access-log.ts';
import { ProxyCounters, type Counter } from '../proxy/metrics/counters.ts';
import { contained } from '../proxy/http/failure-boundary.ts';
import type { Connection } from '../proxy/io/connection.ts';
import type { ProxyFailure } from '../proxy/http/failures.ts';
import { type Field, makeField } from '../proxy/http/fields.ts';
import type { Flow, Session } from '../proxy/downstream/session.ts';
import { type ClaimedProtocol, clientProtocolOf } from '../proxy/downstream/client-protocol.ts';
import { MAX_PENDING } from '../proxy/upstream/target-options.ts';
import { Target } from '../proxy/upstream/target.ts';
import type { Health } from '../telemetry/admin.ts';
import { flowErrors, type InternalErrorLogOptions } from '../telemetry/internal-error-log.ts';
import { ConnectionAdmission, type AdmissionLimits } from '../base/connection-admission.ts';
import { ownLimits } from './admission/admission-limits.ts';
import { authorize, loopFailure, type Ruling } from './authorization/authorize.ts';
import { endpointDial } from './endpoint-dial.ts';
import { forwardedElement, passedBefore } from './authorization/forwarded.ts';
import { FixedAcceptor, type FixedListener } from './acceptors/fixed-acceptor.ts';
import { AdmissionFilters } from './admission/admission-filters.ts';
import { type Arrival, HeaderAcceptor } from './acceptors/header-acceptor.ts';
import { type Acceptor, MtlsListener } from './acceptors/mtls-listener.ts';
import { NO_POLICIES, type PolicySource } from './authorization/policy-source.ts';
import { type Asking, askingVia, TrustedRelays } from './authorization/trusted-relays.ts';
import { lookUp, Presence, update } from './served-target.ts';
import { StreamSession, type StreamContext } from './acceptors/stream-session.ts';
import { trustDomains } from '../identity/names/trust-domain.ts';

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
  /** What the cluster says about who may use what, beside the exported Services themselves; default nothing. */
  readonly policies?: PolicySource;
  /** Trust domains beside the gateway's own whose identities may come in; default none. */
  readonly allowTrustDomains?: readonly string[];
  /** How connections, of clients and to pods with a mesh proxy, grow old; default `DEFAULT_CONNECTION_AGE`. */
  readonly connectionAge?: ConnectionAge;
  /** Let our own egress carry all its flows on a few connections (stream mode); default true. */
  readonly streams?: boolean;
  /** Identities of relays (our own egress) that are believed who their clients are; default none. */
  readonly trustedRelays?: readonly string[];
}

const EMPTY = Buffer.alloc(0);
/** Who says that its bytes are none of HTTP has looked for long enough already, or knows: a server that speaks first is not kept waiting. It is looked at all the same. */
const QUIET_MS = 0;

/** Who is at the other end of a connection and what for, with the last verdict about it. */
interface Guest {
  readonly own: string;
  /** Identity that it has proven, or that a trusted relay gives it. */
  readonly client: string;
  /** IP address as the socket has it. */
  readonly address: string;
  readonly label: string;
  /** Of the Service; empty for what is no Service of Kubernetes. */
  readonly namespace: string;
  readonly served: Served;
  last: Verdict | undefined;
}

/** What was decided about a guest, and from what; with where that is counted. */
interface Verdict {
  readonly spec: TargetSpec | undefined;
  readonly version: number;
  readonly ruling: Ruling;
  http: Counter | undefined;
  tcp: Counter | undefined;
}

/** A service that is being asked for. */
interface Served {
  readonly label: string;
  /** Of the Service; empty where its name has none. */
  readonly namespace: string;
  /** As it is now; undefined when it is not exported. */
  spec: TargetSpec | undefined;
  readonly target: Target;
  /** Of the policies that its filter goes by. */
  gated: number | undefined;
  /** Client connections that are for it. */
  readonly flows: Set<Flow>;
}

/** A cluster's entry for the traffic of other clusters: who comes in proves who it is, says which exported Service it wants, and is balanced over its endpoints. */
export class Gateway {
  readonly counters: ProxyCounters;
  readonly #options: GatewayOptions;
  readonly #listeners: readonly MtlsListener[];
  readonly #peers: OpenPeers;
  readonly #served = new Map<string, Served>();
  readonly #streamSessions = new Set<StreamSession>();
  readonly #policies: PolicySource;
  readonly #filters: AdmissionFilters;
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
    this.#filters = new AdmissionFilters({ counters: this.counters, clock, random, workers });
    this.#relays = new TrustedRelays(options.trustedRelays);
    this.#peers = new OpenPeers({ ...this.#options, age: options.connectionAge });
    this.#listeners = this.#openings();
    this.#policies = options.policies ?? NO_POLICIES;
    const subscriptions = [
      targets.subscribe((key) => contained(this.counters, () => this.#changed(key))),
      this.#policies.subscribe((namespace) =>
        contained(this.counters, () => this.#policiesChanged(namespace)),
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
    return Object.fromEntries([...this.#served].map(([label, { target }]) => [label, target.counts]));
  }

  /** @returns the bound addresses: that of `listen`, and those of the fixed listeners @throws LinkspanError PORT_IN_USE */
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
    for (const { flows } of this.#served.values())
      for (const flow of flows) contained(this.counters, () => flow.drain());
    for (const session of this.#streamSessions) contained(this.counters, () => session.drain());
    const deadline = clock.monotonic() + graceMs;
    const open = () => this.#listeners.reduce((sum, { size }) => sum + size, 0);
    while (open() > 0 && clock.monotonic() < deadline) await sleep(clock, 50);
    if (open() > 0) log.warn({ connections: open() }, 'grace is over, connections ended');
    eachAlone('listeners', this.#listeners, (listener) => listener.destroy());
    eachAlone('targets', this.#served.values(), ({ target }) => target.close());
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
    const { served, session } = this.#meet(connection, { identity: clientIdentity }, header);
    this.#options.log.debug(
      { client: clientIdentity, target: served.label, protocol },
      'connection accepted',
    );
    this.#attend(served, session, protocol, first);
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
    const { served, session } = this.#meet(connection, asking, asked);
    const presence = new Presence();
    served.flows.add(presence);
    return {
      session,
      serve: (client, protocol) => this.#attend(served, { ...session, client }, protocol, EMPTY),
      leave: () => this.#leave(served, presence),
    };
  }

  /** What a client needs to be served a service. */
  #meet(
    client: Connection,
    { identity: clientIdentity, via }: Asking,
    asked: { readonly name: string; readonly port: number },
  ): { readonly served: Served; readonly session: Session } {
    const { clock, identity, accessLog = NO_ACCESS_LOG } = this.#options;
    const own = identity.current()?.name ?? '';
    const label = targetKey(asked.name, asked.port);
    const host = asked.port === 80 ? asked.name : label;
    const served = this.#serve(label);
    const guest: Guest = {
      own,
      client: clientIdentity,
      address: client.remoteAddress,
      label,
      namespace: served.namespace,
      served,
      last: undefined,
    };
    const session: Session = {
      client,
      target: served.target,
      rules: {
        host,
        added: [
          makeField('forwarded', forwardedElement(own, clientIdentity, label)),
          makeField('l5d-client-id', clientIdentity),
          makeField('l5d-dst-canonical', label),
        ],
      },
      check: (head) => this.#check(guest, head),
      draining: () => this.#draining,
      counters: this.counters,
      accessLog,
      clientName: clientIdentity,
      via,
      clock,
    };
    return { served, session };
  }

  /** @param claim what the client says that it speaks, of which only the port's own word makes anything */
  #attend(served: Served, session: Session, claim: ClaimedProtocol, first: Buffer): void {
    const { client, clock } = session;
    const protocol = clientProtocolOf(claim, served.spec?.protocol);
    const flow = serve(
      protocol,
      { client, clock, boundary: this.counters, quietMs: QUIET_MS, session: () => session },
      first,
    );
    served.flows.add(flow);
    client.whenClosed(() => this.#leave(served, flow));
  }

  #leave(served: Served, flow: Flow): void {
    served.flows.delete(flow);
    this.#forgetUnused(served);
  }

  /** Asked for each request: everything but the request itself is worked out once, and again when something has changed. */
  #check(guest: Guest, head: { readonly fields: readonly Field[] } | undefined): ProxyFailure | undefined {
    const { served, own, client, label } = guest;
    const version = this.#policies.version(guest.namespace);
    let { last } = guest;
    if (last === undefined || last.spec !== served.spec || last.version !== version) {
      const ruling = this.#rule(guest);
      if (served.gated !== version) this.#filter(served);
      last = { spec: served.spec, version, ruling, http: undefined, tcp: undefined };
      guest.last = last;
    }
    const { failure, policy } = last.ruling;
    if (failure !== undefined && failure.kind !== 'unauthorized') return failure;
    const layer = head === undefined ? 'tcp' : 'http';
    const counter = (last[layer] ??= this.counters.authorization(
      layer,
      failure === undefined,
      client,
      policy,
    ));
    counter.count++;
    if (failure !== undefined || head === undefined) return failure;
    // Nothing that a client has written is read before it is known that he may come in.
    return passedBefore(own, head.fields) ? loopFailure(label) : undefined;
  }

  #rule(guest: Guest): Ruling {
    const { own, client, address, namespace, label } = guest;
    const { spec } = guest.served;
    const { allowTrustDomains = [] } = this.#options;
    return authorize({
      own,
      client,
      label,
      spec,
      trustDomains: trustDomains(own, allowTrustDomains),
      policy:
        spec === undefined
          ? undefined
          : this.#policies.verdict(spec, namespace, { identity: client, address }),
    });
  }

  /** Sets up what every request for a service passes before an endpoint is picked. */
  #filter(served: Served): void {
    const { namespace, spec, target } = served;
    served.gated = this.#policies.version(namespace);
    if (spec === undefined) return this.#filters.drop(target);
    const own = spec.limits === undefined ? [] : [spec.limits];
    this.#filters.set(target, [...own, ...this.#policies.limits(spec, namespace)], spec.faults);
  }

  /** The balancer of a service: made when first asked for, kept as long as the service is exported or somebody is connected for it. */
  #serve(label: string): Served {
    const { clock, random, targets, identity, maxPending = MAX_PENDING } = this.#options;
    const known = this.#served.get(label);
    if (known !== undefined) return known;
    const account = () => this.counters.endpointOf(label);
    const dial = endpointDial({
      label,
      account,
      boundary: this.counters,
      clock,
      identity,
      peers: this.#peers,
    });
    const target = new Target({ label, dial, clock, random, maxPending, counters: this.counters });
    const spec = lookUp(targets, label);
    const namespace = serviceOf(label)?.namespace ?? '';
    const served: Served = { label, namespace, target, spec, gated: undefined, flows: new Set() };
    this.#served.set(label, served);
    update(target, spec);
    this.#filter(served);
    return served;
  }

  /** Names that clients make up must not fill the memory. */
  #forgetUnused(served: Served): void {
    const { label } = served;
    if (served.flows.size > 0 || lookUp(this.#options.targets, label) !== undefined) return;
    if (this.#served.get(label) === served) this.#served.delete(label);
    this.#filters.drop(served.target);
    served.target.close();
  }

  #changed(key: string): void {
    const served = this.#served.get(key);
    if (served === undefined) return;
    served.spec = lookUp(this.#options.targets, key);
    update(served.target, served.spec);
    this.#filter(served);
    this.#recheck(served.flows);
    this.#forgetUnused(served);
  }

  /** What was let in before and may not be there now is ended; requests are checked one by one. */
  #policiesChanged(namespace: string | undefined): void {
    for (const served of this.#served.values())
      if (namespace === undefined || served.namespace === namespace) this.#recheck(served.flows);
  }

  #recheck(flows: Iterable<Flow>): void {
    for (const flow of flows) contained(this.counters, () => flow.recheck());
  }
}
