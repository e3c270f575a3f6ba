import type { AddressTry } from '../../api/admin/try-answer.ts';

/** Whether an address of a gateway answers its probes. */
export type AddressHealth = 'unknown' | 'alive' | 'dead';

/** What is known of one address; for people. */
export interface AddressReport {
  readonly address: string;
  readonly state: AddressHealth;
  /** Why the last probe failed. */
  readonly reason: string | undefined;
  readonly message: string;
  readonly latencyMs: number | undefined;
  /** Milliseconds since the epoch of the last change of state. */
  readonly since: number;
}

/** The probes of one gateway; `gateway-probes.ts` implements it. */
export interface GatewayHealth {
  /** The addresses to be probed: new ones at once; those that stay keep their state. */
  update(addresses: readonly string[]): void;
  stateOf(address: string): AddressHealth;
  readonly states: readonly AddressReport[];
  /** One request to every address now, beside those of the probes; changes no state. */
  tryNow?(): Promise<readonly AddressTry[]>;
  stop(): void;
}

export interface GatewayHealthOptions {
  readonly cluster: string;
  /** TLS identity that the gateway must prove. */
  readonly identity: string;
  readonly probe: {
    readonly path: string;
    readonly port: number;
    readonly periodMs: number;
    readonly timeoutMs: number;
    readonly failureThreshold: number;
  };
  /** The state of an address has changed. */
  readonly onChange: () => void;
  /** An address is as it was, for another reason than before. */
  readonly onReason?: () => void;
}

/** Begins to probe a gateway. */
export type GatewayHealthFactory = (options: GatewayHealthOptions) => GatewayHealth;
