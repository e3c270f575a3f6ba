import type { Random } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { RequestRules } from '../../policy/requests/request-rules.ts';
import type { SessionProtocol } from '../../proxy/http/messages.ts';
import type { ProxyCounters } from '../../proxy/metrics/counters.ts';
import type { EndpointAddress } from '../../proxy/upstream/balancer/balancer.ts';
import type { TargetRules } from '../../proxy/upstream/target-options.ts';
import { Target } from '../../proxy/upstream/target.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { LocalServices } from '../local/local-pods.ts';
import type { Drills } from './drills.ts';
import { isMember, type RouteMember, type SingleRoute } from '../routes/route.ts';
import type { Shares } from '../shares/group-shares.ts';
import type { AddressUser, GatewayAddresses } from './gateway-addresses.ts';
import { GatewayConnections } from './gateway-connections.ts';
import type { GatewayEndpoint } from './gateway-pool-options.ts';
import type { GatewayPools } from './gateway-pools.ts';
import { PerProtocol } from './per-protocol.ts';

/** What the gateways of all routes of an egress have in common. */
export interface RouteGatewayOptions {
  readonly pools: GatewayPools;
  readonly counters: ProxyCounters;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly addresses: GatewayAddresses;
  /** How the requests of groups are divided; default `EQUAL_SHARES`. */
  readonly shares?: Shares | undefined;
  /** The Services of this cluster that groups lead to; absent: no group leads to any. */
  readonly local?: LocalServices | undefined;
  /** Drills that take clusters for dead; default: there are none. */
  readonly drills?: Pick<Drills, 'isDead'>;
}

/**
 * One gateway that a route leads to: its addresses, the connections to them, and for each session protocol a
 * target that balances over the addresses. There is one for each protocol because a transport header, without
 * stream mode, names the protocol of the whole connection; it is made when that is first spoken.
 */
export class RouteGateway<B extends SingleRoute | RouteMember = SingleRoute | RouteMember>
  implements AddressUser
{
  /** What it was made for. */
  readonly backend: B;
  readonly #targets = new PerProtocol<Target>();
  readonly #options: RouteGatewayOptions;
  readonly #connections: GatewayConnections;
  /** Its addresses as they were when they changed last. */
  #hosts: readonly string[] = [];
  #requests: RequestRules | undefined;

  constructor(backend: B, options: RouteGatewayOptions) {
    this.backend = backend;
    this.#options = options;
    this.#connections = new GatewayConnections(backend, options);
  }

  /** Where requests and raw connections go, by the session protocol of the client; always the same one. */
  target(protocol: SessionProtocol): Target {
    return this.#targets.of(protocol, () => this.#make(protocol));
  }

  /** The gateway's currently known addresses. */
  get endpoints(): GatewayEndpoint[] {
    const { identity } = this.backend.gateway;
    return this.#addresses.map(({ host, port }) => ({ host, port, identity }));
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
    this.#options.addresses.follow(this.backend.gateway.addresses, this);
  }

  /** Stops resolving them; flows that are under way go on. */
  stop(): void {
    this.#options.addresses.leave(this.backend.gateway.addresses, this);
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
    // For targets that are made from now on, too.
    this.#hosts = [];
    this.#update();
    this.release();
  }

  addressesChanged(current: readonly string[], refused: readonly string[]): void {
    if (refused.length > 0)
      this.#options.log.debug({ mirror: this.backend.label, refused }, 'addresses of a gateway not used');
    this.#hosts = current;
    this.#connections.update(current);
    if (isMember(this.backend)) this.#connections.keepOpen();
    this.#update();
  }

  get #addresses(): EndpointAddress[] {
    const { port } = this.backend.gateway;
    return this.#hosts.map((host) => ({ host, port, ready: true }));
  }

  #update(): void {
    for (const [protocol, target] of this.#targets.made)
      target.update(this.#addresses, this.#rulesOf(protocol));
  }

  #rulesOf(protocol: SessionProtocol): TargetRules {
    const requests = protocol === 'opaque' ? undefined : this.#requests;
    return requests === undefined ? {} : { requests };
  }

  #make(protocol: SessionProtocol): Target {
    const target = new Target(this.#connections.forTarget());
    target.update(this.#addresses, this.#rulesOf(protocol));
    return target;
  }
}
