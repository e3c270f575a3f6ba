import { mayRelay } from '../../identity/names/relayed-name.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';

/** How a gateway treats the field `:client`: not negotiated; ignored; taken as the client's identity. */
export type ClientNames = 'none' | 'ignored' | 'believed';

/** The client of a stream, and the relay that named it. */
export interface RequestingClient {
  readonly identity: string;
  /** Identity of the relay; absent: the client has proven its own identity. */
  readonly via?: string | undefined;
}

/**
 * The relays that a gateway trusts to name their clients (ADR 0031): only those that are listed, whoever has
 * signed their certificates.
 */
export class TrustedRelays {
  readonly #identities: ReadonlySet<string>;

  /**
   * @param identities exact identities, in any case. No patterns: naming clients is too strong a right for a
   * wildcard
   */
  constructor(identities: readonly string[] = []) {
    this.#identities = new Set(identities.map((identity) => identity.toLowerCase()));
  }

  /** Whether there are any; if not, naming clients is not offered. */
  get any(): boolean {
    return this.#identities.size > 0;
  }

  /** How a peer's `:client` is treated. @param agreed whether its connection has negotiated the field */
  clientNamesFrom(relay: string, agreed: boolean): ClientNames {
    if (!agreed) return 'none';
    return this.#identities.has(relay.toLowerCase()) ? 'believed' : 'ignored';
  }
}

/**
 * The client of a trusted relay's stream. Pure.
 * @param client value of `:client`; undefined: none, so the client is the relay itself
 * @throws ProxyFailure `unauthorized` when the relay names a client that is not of its own domain: falling
 * back to the relay's identity could allow more than that client may do
 */
export function clientVia(relay: string, client: string | undefined): RequestingClient {
  if (client === undefined) return { identity: relay };
  if (mayRelay(relay, client)) return { identity: client, via: relay };
  throw new ProxyFailure('unauthorized', `${relay} may only speak for workloads of its own trust domain`);
}
