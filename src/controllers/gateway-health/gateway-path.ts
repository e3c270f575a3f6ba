import { isDeepStrictEqual } from 'node:util';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import type { Clock } from '../../base/clock.ts';
import { type AddressRefusal, HostAddresses } from '../../dns/host-addresses.ts';
import type { HostNames } from '../../dns/host-names.ts';
import type { LinkProbe } from '../../api/link/link-schema.ts';
import { believedDrain } from '../../policy/failover/asked-drain.ts';
import type { GatewayFacts } from '../reconcile/mirror-facts.ts';
import { shortList, type Refusal } from '../imports/import-rules.ts';
import type { TrunkWitness } from './egress-evidence.ts';
import type { GatewayHealth, GatewayHealthFactory } from './gateway-probes.ts';
import type { AddressReport, AddressTry } from '../../api/answers/admin-answers.ts';

/** A gateway, and how its addresses are resolved and probed. */
export interface GatewayPathOptions {
  /** Target cluster, for log and metrics. */
  readonly cluster: string;
  /** IP addresses and host names. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly identity: string;
  /**
   * Undefined: not probed, every address counts as alive (as with Linkerd when `probeSpec.path` is empty).
   */
  readonly probe: LinkProbe | undefined;
  /** Whether exports name this gateway (`GatewayFacts.own`), rather than the Link. */
  readonly own: boolean;
  readonly health: GatewayHealthFactory;
  readonly names: HostNames;
  /**
   * Who knows whether the egress reaches its addresses; undefined: requests do not pass through the egress.
   */
  readonly trunks?: TrunkWitness | undefined;
  readonly refusal: AddressRefusal;
  /** Whether the death of all gateways is put down to this cluster's own network; default: it never is. */
  readonly doubts?: (() => boolean) | undefined;
  /** The addresses, or the state of one, have changed. `worse`: one that was alive is gone or dead. */
  readonly onChange: (worse: boolean) => void;
  /** Only `reports` have changed: why an address is in the state that it is in. */
  readonly onReason?: () => void;
  /** Where the gateway may ask to be drained; default: what it says of that is not heard. */
  readonly asking?: {
    readonly clock: Pick<Clock, 'now'>;
    /** What it asked for when it was last heard. */
    readonly before: FailoverDrain | undefined;
    /** It asks for something else now. */
    readonly onDrain: () => void;
  };
}

/**
 * The path to one gateway: its addresses, resolved again as their TTLs say, and whether each answers its
 * probes.
 */
export class GatewayPath {
  readonly #options: GatewayPathOptions;
  readonly #addresses: HostAddresses;
  readonly #health: GatewayHealth | undefined;
  /** The addresses that were alive when `onChange` was called last. */
  #alive: ReadonlySet<string> = new Set();
  #drain: FailoverDrain | undefined;
  #unfollow: () => void = () => undefined;
  /** The addresses that the egress could not reach when `onChange` was called last. */
  #unreached: readonly string[] = [];

  constructor(options: GatewayPathOptions) {
    this.#options = options;
    this.#drain = options.asking?.before;
    const { hosts, names, refusal, probe, cluster, identity } = options;
    this.#addresses = new HostAddresses({ hosts, names, refusal, onChange: () => this.#changed() });
    this.#health =
      probe === undefined
        ? undefined
        : options.health({
            cluster,
            identity,
            probe,
            onChange: () => this.#changed(),
            onReason: () => options.onReason?.(),
            onAnswer: (drain) => this.#answered(drain),
          });
  }

  start(): void {
    this.#addresses.start();
    this.#unfollow = this.#options.trunks?.follow(() => this.#trunksChanged()) ?? this.#unfollow;
  }

  stop(): void {
    this.#unfollow();
    this.#addresses.stop();
    this.#health?.stop();
  }

  /** What it asks for, as it is believed. */
  get drain(): FailoverDrain | undefined {
    return this.#drain;
  }

  /** Whether its addresses are probed. */
  get probed(): boolean {
    return this.#health !== undefined;
  }

  /** What is known of each address. */
  get reports(): readonly AddressReport[] {
    return this.#health?.states ?? [];
  }

  /** Sends one probe to every address now, for a person who asks; undefined: it is not probed. */
  tryNow(): Promise<readonly AddressTry[]> | undefined {
    return this.#health?.tryNow?.();
  }

  /** The addresses that are known now and may be used. */
  get known(): readonly string[] {
    return this.#addresses.current;
  }

  /** What the verdicts about mirrors need to know of it. */
  get facts(): GatewayFacts {
    const { port, identity, own } = this.#options;
    const current = this.#addresses.current;
    const inState = (state: string) => current.filter((ip) => this.#stateOf(ip) === state);
    const answering = inState('alive');
    const unreached = answering.filter((ip) => this.#options.trunks?.isLost(ip, port, identity) === true);
    const alive = unreached.length === 0 ? answering : answering.filter((ip) => !unreached.includes(ip));
    const unknown = inState('unknown');
    const path = this.#path(current, alive, unknown);
    const refusal = this.#refusal;
    const doubted = path === 'dead' && this.#options.doubts?.() === true;
    return {
      ...(doubted && { doubted }),
      port,
      identity,
      own,
      known: current,
      alive,
      unknown,
      unreached,
      path,
      ...(refusal && { refusal }),
    };
  }

  get #refusal(): Refusal | undefined {
    const { refused } = this.#addresses;
    return refused.length === 0
      ? undefined
      : {
          reason: 'ImportAddressRefused',
          message: `addresses of the gateway not used: ${shortList(refused, 4)}`,
        };
  }

  /** Which addresses may be used has changed: all are checked again. */
  recheck(): void {
    this.#addresses.recheck();
  }

  #path(
    current: readonly string[],
    alive: readonly string[],
    unknown: readonly string[],
  ): GatewayFacts['path'] {
    if (current.length === 0 && this.#addresses.refused.length > 0) return 'refused';
    if (current.length === 0) return this.#addresses.asked ? 'unresolved' : 'resolving';
    if (alive.length > 0) return 'alive';
    return unknown.length > 0 ? 'unknown' : 'dead';
  }

  #stateOf(ip: string): string {
    return this.#health === undefined ? 'alive' : this.#health.stateOf(ip);
  }

  #answered(said: FailoverDrain | undefined): void {
    const { asking } = this.#options;
    if (asking === undefined) return;
    const drain = believedDrain(this.#drain, said, asking.clock.now());
    if (isDeepStrictEqual(drain, this.#drain)) return;
    this.#drain = drain;
    asking.onDrain();
  }

  /** The egress reaches some address no more, or again: of one of this gateway? */
  #trunksChanged(): void {
    const { unreached = [] } = this.facts;
    if (!isDeepStrictEqual(unreached, this.#unreached)) this.#changed();
  }

  #changed(): void {
    this.#health?.update(this.#addresses.current);
    const facts = this.facts;
    const alive = new Set(facts.alive);
    const worse = [...this.#alive].some((ip) => !alive.has(ip));
    this.#alive = alive;
    this.#unreached = facts.unreached ?? [];
    this.#options.onChange(worse);
  }
}
