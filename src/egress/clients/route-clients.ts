import type { Clock } from '../../base/clock.ts';
import type { HeadRules } from '../../proxy/http/forwarding.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import { ProxyFailure } from '../../proxy/http/failures.ts';
import type { Field } from '../../proxy/http/fields.ts';
import type { Route } from '../routes/route.ts';
import {
  awaitClient,
  type Client,
  type Clients,
  isSettled,
  MAY_KNOW_MS,
  MUST_KNOW_MS,
  podAddress,
} from './client.ts';
import type { ClientFields } from './client-fields.ts';
import type { NamespaceRules } from './namespace-rules.ts';
import type { RefusedClients } from './refusals.ts';
import { allowedNamespaces, relayRefusalOf, refusalText, type RelayPolicy } from './relay-rule.ts';

/** What all routes of an egress share to identify and admit clients. */
export interface ClientParts {
  readonly clients: Clients;
  readonly fields: ClientFields;
  readonly refused: RefusedClients;
  readonly policy: RelayPolicy;
  readonly namespaces: NamespaceRules;
  /**
   * Addresses that stayed unknown after a wait: they are no pods' (machines outside, translated addresses),
   * so further connections do not wait where unknown clients are admitted.
   */
  readonly strangers: Set<string>;
}

/** Most addresses in `ClientParts.strangers`; beyond it all are forgotten, and waited for once more. */
const MAX_STRANGERS = 10_000;

/**
 * The client of one connection, and the name that gateways are given for it. It is always the pod that has
 * the address now: another pod gets the address only when the former one has no network any more, so that
 * data on an open connection is from the new owner. While no pod has the address, no client is named.
 */
export class RelayedClient implements HeadRules {
  readonly host = undefined;
  readonly added = [];
  /** As the socket has it. */
  readonly address: string;
  /** Called when the client may have changed. */
  onChange: () => void = () => undefined;
  readonly #parts: ClientParts;
  #known: Client | undefined;
  #unwatch: (() => void) | undefined;
  #waited = false;

  constructor(address: string, parts: ClientParts) {
    this.address = address;
    this.#parts = parts;
  }

  /** The client by what is known now. */
  get who(): Client {
    this.#unwatch ??= this.#parts.clients.watch(this.address, () => {
      this.#known = undefined;
      this.onChange();
    });
    return (this.#known ??= this.#parts.clients.at(this.address));
  }

  /**
   * The field `:client` for gateways; undefined: none. A pod that is being deleted is named only after a wait
   * in which the next owner of its address could have become known.
   */
  get client(): Field | undefined {
    const { who } = this;
    return isSettled(who) || this.#waited ? this.#parts.fields.of(who) : undefined;
  }

  /** Records that the wait for the client to become known is over. */
  waitEnded(): void {
    this.#waited = true;
  }

  /** Stops watching the address for good, when the connection has closed. */
  disconnected(): void {
    this.#unwatch?.();
    this.#unwatch = () => undefined;
  }
}

/** What decides which clients may use a route, or a backend of one. */
export type ClientRules = Pick<Route, 'label' | 'namespace' | 'allowedNamespaces'>;

/** Identifies the clients of one route, and decides which may use it. */
export class RouteClients {
  readonly #parts: ClientParts;
  readonly #clock: Clock;
  #label = '';
  #namespaces: ReadonlySet<string> | undefined;

  constructor(route: ClientRules, parts: ClientParts, clock: Clock) {
    this.#parts = parts;
    this.#clock = clock;
    this.follow(route);
  }

  /** Takes over the route's and its namespace's current settings. */
  follow({ label, namespace, allowedNamespaces: own }: ClientRules): void {
    const { namespaces, policy } = this.#parts;
    this.#label = label;
    this.#namespaces = allowedNamespaces(namespace, own ?? namespaces.allowed(namespace), policy);
  }

  /**
   * The client of a new connection.
   * @param named whether its gateway wants to know who the client is
   * @param decides whether something else than the route depends on who the client is
   * @returns a promise where that is worth waiting for
   */
  identify(
    { remoteAddress }: Connection,
    named: boolean,
    decides = false,
  ): RelayedClient | Promise<RelayedClient> {
    const { clients, strangers } = this.#parts;
    const client = new RelayedClient(remoteAddress, this.#parts);
    const mustKnow = decides || this.restricts;
    if (!mustKnow && !named) return client;
    const who = clients.at(remoteAddress);
    if (isSettled(who)) return client;
    const address = podAddress(remoteAddress);
    if (!mustKnow && who.kind === 'unknown' && strangers.has(address)) return client;
    const ms = mustKnow && who.kind === 'unknown' ? MUST_KNOW_MS : MAY_KNOW_MS;
    return awaitClient(clients, address, { clock: this.#clock, ms }).then((found) => {
      client.waitEnded();
      if (found.kind === 'pod') strangers.delete(address);
      else this.#remember(address);
      return client;
    });
  }

  /** Whether not all clients may use it. */
  get restricts(): boolean {
    return this.#namespaces !== undefined;
  }

  /** Whether a client may use the route as it is now. Unlike `check` it counts nothing. */
  allows(client: RelayedClient): boolean {
    return relayRefusalOf(this.#namespaces, client.who) === undefined;
  }

  /**
   * Refuses a request, or a raw connection, of a client that may not use the route as it is now, and counts
   * that.
   * @returns undefined: it may
   */
  check(client: RelayedClient): ProxyFailure | undefined {
    if (this.#namespaces === undefined) return undefined;
    const { who, address } = client;
    const refusal = relayRefusalOf(this.#namespaces, who);
    if (refusal === undefined) return undefined;
    const text = refusalText(this.#label, refusal, who, address);
    this.#parts.refused.add({ mirror: this.#label, refusal, address, text });
    return new ProxyFailure('unauthorized', text);
  }

  #remember(address: string): void {
    const { strangers } = this.#parts;
    if (strangers.size >= MAX_STRANGERS) strangers.clear();
    strangers.add(address);
  }
}
