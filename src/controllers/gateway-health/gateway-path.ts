import { type AddressRefusal, HostAddresses } from '../../dns/host-addresses.ts';
import type { HostNames } from '../../dns/host-names.ts';
import type { LinkProbe } from '../../api/link/link-schema.ts';
import type { GatewayFacts } from '../reconcile/mirror-facts.ts';
import { shortList, type Refusal } from '../imports/import-rules.ts';
import type { GatewayHealth, GatewayHealthFactory } from './gateway-probes.ts';
import type { AddressReport, AddressTry } from '../../api/answers/admin-answers.ts';

export interface GatewayPathOptions {
  readonly cluster: string;
  /** IP addresses and host names. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly identity: string;
  /**
   * Undefined: not probed, every address counts as alive (as with Linkerd when `probeSpec.path` is empty).
   */
  readonly probe: LinkProbe | undefined;
  /** Whether this is the gateway of one export rather than the Link's. */
  readonly own: boolean;
  readonly health: GatewayHealthFactory;
  readonly names: HostNames;
  readonly refusal: AddressRefusal;
  /** The addresses or what is known of them has changed. `worse`: some address is gone or dead. */
  readonly onChange: (worse: boolean) => void;
  /** Nothing has changed but what is said of an address, for people (`reports`). */
  readonly onReason?: () => void;
}

/**
 * The way to one gateway: its addresses, resolved again by their TTL, and whether each answers its probes.
 */
export class GatewayPath {
  readonly #options: GatewayPathOptions;
  readonly #addresses: HostAddresses;
  readonly #health: GatewayHealth | undefined;
  #alive: ReadonlySet<string> = new Set();

  constructor(options: GatewayPathOptions) {
    this.#options = options;
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
          });
  }

  start(): void {
    this.#addresses.start();
  }

  stop(): void {
    this.#addresses.stop();
    this.#health?.stop();
  }

  /** Whether its addresses are probed. */
  get probed(): boolean {
    return this.#health !== undefined;
  }

  /** What is known of each address. */
  get reports(): readonly AddressReport[] {
    return this.#health?.states ?? [];
  }

  /** Sends one request to every address now; undefined where the Link asks for no probes. */
  tryNow(): Promise<readonly AddressTry[]> | undefined {
    return this.#health?.tryNow?.();
  }

  /** Addresses that are known now. */
  get known(): readonly string[] {
    return this.#addresses.current;
  }

  get facts(): GatewayFacts {
    const { port, identity, own } = this.#options;
    const current = this.#addresses.current;
    const inState = (state: string) => current.filter((ip) => this.#stateOf(ip) === state);
    const alive = inState('alive');
    const unknown = inState('unknown');
    const path = this.#path(current, alive, unknown);
    const refusal = this.#refusal;
    return { port, identity, own, known: current, alive, unknown, path, ...(refusal && { refusal }) };
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

  /** What may be used has changed: addresses are judged anew. */
  recheck(): void {
    this.#changed();
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

  #changed(): void {
    this.#health?.update(this.#addresses.current);
    const alive = new Set(this.facts.alive);
    const worse = [...this.#alive].some((ip) => !alive.has(ip));
    this.#alive = alive;
    this.#options.onChange(worse);
  }
}
