import { mayRelay } from '../../identity/names/relayed-name.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';

/** What a gateway makes of `:client`: nothing was agreed about it; it is read past; it is who asks. */
export type ClientNames = 'none' | 'ignored' | 'believed';

/** Who asks, and the relay that says so. */
export interface RequestingClient {
  readonly identity: string;
  /** Absent: the client has proven it itself. */
  readonly via?: string | undefined;
}

/**
 * The relays whose word about their clients a gateway takes (ADR 0031). None unless they are listed, whoever
 * has signed their certificates.
 */
export class TrustedRelays {
  readonly #identities: ReadonlySet<string>;

  /**
   * @param identities exact ones, in any case; no patterns: who is believed about everybody is nobody's
   * wildcard
   */
  constructor(identities: readonly string[] = []) {
    this.#identities = new Set(identities.map((identity) => identity.toLowerCase()));
  }

  /** Whether there are any: if not, nobody is asked to name clients. */
  get any(): boolean {
    return this.#identities.size > 0;
  }

  /** What its `:client` is worth. @param agreed whether its connection may have any */
  clientNamesFrom(relay: string, agreed: boolean): ClientNames {
    if (!agreed) return 'none';
    return this.#identities.has(relay.toLowerCase()) ? 'believed' : 'ignored';
  }
}

/**
 * Who asks on a stream of a relay that is believed. Pure.
 * @param client what `:client` says; undefined: nothing, so it is the relay itself
 * @throws ProxyFailure `unauthorized` when the relay names somebody who is none of its own: falling back to
 * the relay's identity could let in more than that client may
 */
export function clientVia(relay: string, client: string | undefined): RequestingClient {
  if (client === undefined) return { identity: relay };
  if (mayRelay(relay, client)) return { identity: client, via: relay };
  throw new ProxyFailure('unauthorized', `${relay} may only speak for workloads of its own trust domain`);
}
