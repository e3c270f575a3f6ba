import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { neverRemote } from '../../base/ip-ranges.ts';
import { type AddressRefusal, HostAddresses } from '../../dns/host-addresses.ts';
import type { HostNames } from '../../dns/host-names.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import type { EndpointAddress } from '../../proxy/upstream/balancer/balancer.ts';
import { Target } from '../../proxy/upstream/target.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { LocalServices } from '../local/local-pods.ts';
import type { Drills } from './drills.ts';
import type { RouteBackend } from '../routes/route.ts';
import type { Shares } from '../shares/group-shares.ts';
import { GatewayConnections } from './gateway-connections.ts';
import type { GatewayEndpoint } from './gateway-pool-options.ts';
import type { GatewayPools } from './gateway-pools.ts';

/**
 * Refuses addresses that no other cluster can have (loopback, link-local, a cloud's metadata service, …)
 * where a host name resolves to them: the Link's author has written the name only, and somebody else may
 * control its DNS. The source's own ranges, which the controller refuses too, are left to mTLS: no endpoint
 * there can prove the gateway's identity.
 */
const REFUSAL: AddressRefusal = (address, host) => (address === host ? undefined : neverRemote(address));

/** What the gateways of all routes of an egress have in common. */
export interface RouteGatewayOptions {
  readonly pools: GatewayPools;
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly names: HostNames;
  /** How the requests of groups are divided; default `EQUAL_SHARES`. */
  readonly shares?: Shares | undefined;
  /** The Services of this cluster that groups lead to; absent: no group leads to any. */
  readonly local?: LocalServices | undefined;
  /** Drills that take clusters for dead; default: there are none. */
  readonly drills?: Pick<Drills, 'checkOf'>;
}

/**
 * One gateway that a route leads to: its addresses, the connections to them, and for each session protocol a
 * target that balances over the addresses. There is one for each protocol because a transport header, without
 * stream mode, names the protocol of the whole connection.
 */
export class RouteGateway {
  readonly targets: Readonly<Record<SessionProtocol, Target>>;
  readonly #backend: RouteBackend;
  readonly #label: string;
  readonly #options: RouteGatewayOptions;
  readonly #hosts: HostAddresses;
  readonly #connections: GatewayConnections;
  #endpoints: readonly EndpointAddress[] = [];
  #requests: RequestRules | undefined;

  /** @param label `namespace/name:port`, for logs and metrics */
  constructor(backend: RouteBackend, label: string, options: RouteGatewayOptions) {
    this.#backend = backend;
    this.#label = label;
    this.#options = options;
    const { pools, counters, drills } = options;
    const drilled = drills === undefined ? undefined : drills.checkOf(backend);
    this.#connections = new GatewayConnections({ ...backend, label }, pools, counters, drilled);
    this.targets = { http1: this.#target(), http2: this.#target(), opaque: this.#target() };
    this.#hosts = new HostAddresses({
      hosts: backend.gateway.addresses,
      names: options.names,
      refusal: REFUSAL,
      onChange: () => this.#addressesChanged(),
    });
  }

  /** The gateway's currently known addresses. */
  get endpoints(): GatewayEndpoint[] {
    const { identity } = this.#backend.gateway;
    return this.#endpoints.map(({ host, port }) => ({ host, port, identity }));
  }

  /** Whether its streams name the client on whose behalf they are (ADR 0031), as far as is known. */
  get namesClients(): boolean {
    return this.#connections.namesClients;
  }

  /** As `GatewayConnections.provenMs`. */
  get provenMs(): number | undefined {
    return this.#connections.provenMs;
  }

  /** Begins to resolve the gateway's host names. */
  start(): void {
    this.#hosts.start();
  }

  /** Stops resolving them; flows that are under way go on. */
  stop(): void {
    this.#hosts.stop();
  }

  /** Takes in retries and timeouts, for requests that begin from now on; undefined: there are none. */
  follow(requests: RequestRules | undefined): void {
    this.#requests = requests;
    this.#update();
  }

  /** Releases its connection pools; only when no flow is left that may need a new connection. */
  release(): void {
    this.#connections.release();
  }

  /** Sends no new request or connection to it; flows that are under way go on. */
  close(): void {
    this.stop();
    for (const target of Object.values(this.targets)) target.close();
    this.release();
  }

  #addressesChanged(): void {
    const { current, refused } = this.#hosts;
    if (refused.length > 0)
      this.#options.log.debug({ mirror: this.#label, refused }, 'addresses of a gateway not used');
    this.#connections.update(current);
    const { port } = this.#backend.gateway;
    this.#endpoints = current.map((host) => ({ host, port, ready: true }));
    this.#update();
  }

  #update(): void {
    const requests = this.#requests;
    for (const [protocol, target] of Object.entries(this.targets))
      target.update(this.#endpoints, requests === undefined || protocol === 'opaque' ? {} : { requests });
  }

  #target(): Target {
    const { counters, clock, random } = this.#options;
    return new Target({
      label: this.#label,
      dial: (endpoint, session, told) => this.#connections.dial(endpoint, session, told),
      streams: this.#connections,
      proxies: true,
      clock,
      random,
      counters,
    });
  }
}
