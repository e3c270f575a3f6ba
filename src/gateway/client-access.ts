import type { TargetSpec } from '../discovery/target-spec.ts';
import { trustDomains } from '../identity/names/trust-domain.ts';
import type { ProxyFailure } from '../proxy/http/failures.ts';
import type { Field } from '../proxy/http/fields.ts';
import type { Counter, ProxyCounters } from '../proxy/metrics/counters.ts';
import { authorize, loopFailure, type AuthorizationVerdict } from './authorization/authorize.ts';
import { passedBefore } from './authorization/forwarded.ts';
import type { PolicySource } from './authorization/policy-source.ts';
import type { ServiceEntry, ServiceTable } from './service-table.ts';

/** What access is decided by, and where it is counted. */
export interface AccessFacts {
  readonly policies: PolicySource;
  readonly services: ServiceTable;
  readonly counters: ProxyCounters;
  /** As `GatewayOptions.allowTrustDomains`. */
  readonly allowTrustDomains?: readonly string[];
}

/** Who is at the other end of a connection, and what for. */
export interface AccessRequest {
  /** The gateway's own identity. */
  readonly own: string;
  /** Identity that the client has proven, or that a trusted relay gives it. */
  readonly client: string;
  /** IP address as the socket has it. */
  readonly address: string;
  readonly entry: ServiceEntry;
}

/** What was decided, and from what; with where that is counted. */
interface Decision {
  readonly spec: TargetSpec | undefined;
  readonly version: number;
  readonly ruling: AuthorizationVerdict;
  http: Counter | undefined;
  tcp: Counter | undefined;
}

/** Whether one client may use one service, with the last decision about it. */
export class ClientAccess {
  readonly #facts: AccessFacts;
  readonly #question: AccessRequest;
  #last: Decision | undefined;

  constructor(facts: AccessFacts, question: AccessRequest) {
    this.#facts = facts;
    this.#question = question;
  }

  /**
   * Asked for each request: everything but the request itself is worked out once, and again when something
   * has changed.
   * @param head undefined: of a raw connection
   */
  check(head: { readonly fields: readonly Field[] } | undefined): ProxyFailure | undefined {
    const { policies, services, counters } = this.#facts;
    const { entry, own, client } = this.#question;
    const version = policies.version(entry.namespace);
    let last = this.#last;
    if (last === undefined || last.spec !== entry.spec || last.version !== version) {
      const ruling = this.#rule();
      if (entry.filterVersion !== version) services.filter(entry);
      last = { spec: entry.spec, version, ruling, http: undefined, tcp: undefined };
      this.#last = last;
    }
    const { failure, policy } = last.ruling;
    if (failure !== undefined && failure.kind !== 'unauthorized') return failure;
    const layer = head === undefined ? 'tcp' : 'http';
    const counter = (last[layer] ??= counters.authorization(layer, failure === undefined, client, policy));
    counter.count++;
    if (failure !== undefined || head === undefined) return failure;
    // Nothing that a client has written is read before it is known that he may come in.
    return passedBefore(own, head.fields) ? loopFailure(entry.label) : undefined;
  }

  #rule(): AuthorizationVerdict {
    const { policies, allowTrustDomains = [] } = this.#facts;
    const { own, client, address, entry } = this.#question;
    const { spec, namespace, label } = entry;
    return authorize({
      own,
      client,
      label,
      spec,
      trustDomains: trustDomains(own, allowTrustDomains),
      policy:
        spec === undefined ? undefined : policies.verdict(spec, namespace, { identity: client, address }),
    });
  }
}
