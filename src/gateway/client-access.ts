import type { TargetSpec } from '../discovery/target-spec.ts';
import type { ProxyFailure } from '../proxy/http/failures.ts';
import type { Field } from '../proxy/http/fields.ts';
import type { Counter, ProxyCounters } from '../proxy/metrics/counters.ts';
import { authorize, loopFailure, type AuthorizationVerdict } from './authorization/authorize.ts';
import { passedBefore } from './authorization/forwarded.ts';
import type { PolicySource } from './authorization/policy-source.ts';
import type { ServiceEntry, ServiceTable } from './service-table.ts';

/** Sources of the facts that access is decided by, and its counters. */
export interface AccessFacts {
  readonly policies: PolicySource;
  readonly services: ServiceTable;
  readonly counters: ProxyCounters;
  /** The trust domains that are admitted (`trustDomains`), by the gateway's own identity. */
  readonly trustDomains: (own: string) => readonly string[] | undefined;
}

/** The client of a connection, and the service that it wants. */
export interface AccessRequest {
  /** The gateway's own identity. */
  readonly own: string;
  /** Identity that the client has proven, or that a trusted relay has named. */
  readonly client: string;
  /** IP address as the socket has it. */
  readonly address: string;
  readonly entry: ServiceEntry;
}

/** A decision, the versions of the facts it was made from, and its counters. */
interface Decision {
  readonly spec: TargetSpec | undefined;
  readonly version: number;
  readonly verdict: AuthorizationVerdict;
  http: Counter | undefined;
  tcp: Counter | undefined;
}

/** A service, or a backend of its routes. */
type AskedService = Pick<ServiceEntry, 'spec' | 'namespace' | 'label'>;

/** Decides whether one client may use one service, and caches the decision. */
export class ClientAccess {
  readonly #facts: AccessFacts;
  readonly #request: AccessRequest;
  #last: Decision | undefined;
  /** Decisions about backends of routes, by label. */
  #leaves: Map<string, Decision> | undefined;

  constructor(facts: AccessFacts, request: AccessRequest) {
    this.#facts = facts;
    this.#request = request;
  }

  /**
   * Checks each request and connection. The decision that does not depend on the request is made once, and
   * again when its facts have changed.
   * @param head head of the request; undefined: a raw connection
   * @returns why the client is refused; undefined: it is allowed
   */
  check(head: { readonly fields: readonly Field[] } | undefined): ProxyFailure | undefined {
    const { policies, services, counters } = this.#facts;
    const { entry, own, client } = this.#request;
    const version = policies.version(entry.namespace);
    let last = this.#last;
    if (last === undefined || last.spec !== entry.spec || last.version !== version) {
      const verdict = this.#rule(entry);
      // Rate limits are policies, too.
      if (entry.filterVersion !== version) services.filter(entry);
      last = { spec: entry.spec, version, verdict, http: undefined, tcp: undefined };
      this.#last = last;
    }
    const { failure, policy } = last.verdict;
    // An unknown service or a loop is not a decision about the client, and is not counted as one.
    if (failure !== undefined && failure.kind !== 'unauthorized') return failure;
    const layer = head === undefined ? 'tcp' : 'http';
    const counter = (last[layer] ??= counters.authorization(layer, failure === undefined, client, policy));
    counter.count++;
    if (failure !== undefined || head === undefined) return failure;
    // The request's fields are read only once the client is allowed.
    return passedBefore(own, head.fields) ? loopFailure(entry.label) : undefined;
  }

  /** Why the client may not use a backend of the service's routes; undefined: it may. */
  leaf(label: string): ProxyFailure | undefined {
    const { policies } = this.#facts;
    const { entry } = this.#request;
    // The service itself has been checked already.
    if (label === entry.label) return undefined;
    const leaf = entry.routes?.leaf(label);
    // Without endpoints there is nothing to be used.
    if (leaf?.spec === undefined) return undefined;
    const last = this.#leafDecision(leaf, policies.version(leaf.namespace));
    const { failure, policy } = last.verdict;
    if (failure?.kind !== 'unauthorized') return failure;
    last.http ??= this.#facts.counters.authorization('http', false, this.#request.client, policy);
    last.http.count++;
    return failure;
  }

  #leafDecision(leaf: AskedService, version: number): Decision {
    const known = this.#leaves?.get(leaf.label);
    if (known !== undefined && known.spec === leaf.spec && known.version === version) return known;
    const verdict = this.#rule(leaf);
    const decision = { spec: leaf.spec, version, verdict, http: undefined, tcp: undefined };
    (this.#leaves ??= new Map()).set(leaf.label, decision);
    return decision;
  }

  #rule({ spec, namespace, label }: AskedService): AuthorizationVerdict {
    const { policies, trustDomains } = this.#facts;
    const { own, client, address } = this.#request;
    return authorize({
      own,
      client,
      label,
      spec,
      trustDomains: trustDomains(own),
      policy:
        spec === undefined ? undefined : policies.verdict(spec, namespace, { identity: client, address }),
    });
  }
}
