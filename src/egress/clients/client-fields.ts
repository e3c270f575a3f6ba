import type { IdentitySource } from '../../identity/sources/identity.ts';
import { type RelayDomain, relayDomain, relayedName } from '../../identity/names/relayed-name.ts';
import type { Field } from '../../proxy/http/fields.ts';
import { clientField } from '../../proxy/streams/stream-head.ts';
import type { Client } from './client.ts';

/** Most accounts whose field is cached. */
const MAX_KEPT = 10_000;

/**
 * The field `:client` that tells gateways on whose behalf a stream is: the identity that the client would
 * have in the egress' mesh (ADR 0031).
 */
export class ClientFields {
  readonly #identity: IdentitySource;
  #own = '';
  #domain: RelayDomain | undefined;
  /** By namespace and account. */
  readonly #fields = new Map<string, Field | undefined>();

  constructor(identity: IdentitySource) {
    this.#identity = identity;
  }

  /**
   * The field for a client; undefined where it is not known, its account has no such identity, or the egress'
   * own identity is not of Linkerd's form.
   */
  of(client: Client): Field | undefined {
    if (client.kind !== 'pod') return undefined;
    this.#follow();
    const domain = this.#domain;
    if (domain === undefined) return undefined;
    const key = `${client.namespace}/${client.serviceAccount}`;
    if (this.#fields.has(key)) return this.#fields.get(key);
    const name = relayedName(domain, client);
    const field = name === undefined ? undefined : clientField(name);
    if (this.#fields.size >= MAX_KEPT) this.#fields.clear();
    this.#fields.set(key, field);
    return field;
  }

  /** Clears the cache when the egress' own identity changes with its certificate. */
  #follow(): void {
    const own = this.#identity.current()?.name ?? '';
    if (own === this.#own) return;
    this.#own = own;
    this.#domain = relayDomain(own);
    this.#fields.clear();
  }
}
