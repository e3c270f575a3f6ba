import { splitTargetKey, targetKey } from '../../api/ports/target-key.ts';
import { plainName } from '../../base/dns-name.ts';
import type { Clock } from '../../base/clock.ts';
import { ConnectionCounters, OTHER } from './connection-counters.ts';
import { type CountersSnapshot, snapshotOf } from './counters-snapshot.ts';
import { type CountersView, tableOf } from './counters-view.ts';
import { type Boundary, internalError } from '../http/failure-boundary.ts';
import { type FailureKind, ProxyFailure } from '../http/failures.ts';
import { type LatencyExample, LatencyExamples } from './exemplars.ts';
import { GroupCounters } from './group-counters.ts';
import { type PairCounters, Pairs, type SourceOfFlows } from './pair-counters.ts';
import { RouteCounters } from './route-counters.ts';
import { TargetCounters } from './target-counters.ts';

/** Most services, transport headers, and keys of each other kind, that are counted one by one. */
const MAX_SERVICES = 10_000;
/** Most client identities that are counted one by one. */
const MAX_CLIENTS = 200;
/** How long the numbers of a service that is gone and unused are kept (Linkerd's `METRICS_RETAIN_IDLE`). */
const RETAIN_MS = 600_000;

/** Stands between the parts of a key; no name or identity contains it. */
const SEPARATOR = '\t';
const keyOf = (...parts: (string | number)[]): string => parts.join(SEPARATOR);
/** The parts of a key of a `CountersSnapshot`, in the order that its fields name them. */
export const readKey = (key: string): string[] => key.split(SEPARATOR);

/** Whether it was HTTP or raw bytes. */
export type Layer = 'http' | 'tcp';

/** A number that its holder counts up. */
export interface Counter {
  count: number;
}

/** Which services have series of their own, and who logs exceptions. */
export interface CountersOptions {
  /**
   * Whether a service (`name:port`) exists; one that does not is counted under `other`, so that nobody can
   * make series by asking for names that do not exist. Default: all exist.
   */
  known?(target: string): boolean;
  /** Called with each exception that nobody foresaw, for the log. */
  readonly onCaught?: (error: unknown) => void;
  /** Times how long services have been gone; without it none is forgotten. */
  readonly clock?: Clock;
}

/**
 * What the data path counts, in plain numbers; `counters-exposition.ts` publishes them when the registry is
 * read. One per process. Services are called by `name:port`.
 */
export class ProxyCounters implements Boundary {
  readonly targets = new Map<string, TargetCounters>();
  /** By layer and kind; `TargetCounters.failures` has those of each target. */
  readonly failures = new Map<string, number>();
  /** Connections refused before a service was known, by reason. */
  readonly refused = new Map<string, number>();
  readonly headers = new Map<string, number>();
  readonly authorizations = new Map<string, Counter>();
  readonly rateLimits = new Map<string, number>();
  readonly faults = new Map<string, number>();
  readonly client = new ConnectionCounters();
  readonly shared = new ConnectionCounters();
  readonly pairs: Pairs;
  readonly streams = { connections: 0, requests: 0, tunnels: 0 };
  /** Exceptions that nobody foresaw. */
  internalErrors = 0;
  readonly #caught = new WeakMap<object, ProxyFailure>();
  readonly #endpoints = new Map<string, ConnectionCounters>();
  /** By target and route. */
  readonly #routes = new Map<string, RouteCounters>();
  readonly #groups = new Map<string, GroupCounters>();
  readonly #clients = new Set<string>();
  readonly #examples = new LatencyExamples();
  readonly #options: CountersOptions;
  /** Services that have gone: their number of requests, and since when it has stood still. */
  readonly #gone = new Map<string, { requests: number; since: number }>();

  constructor(options: CountersOptions = {}) {
    this.#options = options;
    this.pairs = new Pairs(options.clock);
  }

  /**
   * The counters of a target, which may be kept until they are `forgotten`; `OTHER`'s where it has none of
   * its own.
   */
  target(label: string): TargetCounters {
    return this.targets.get(label) ?? this.#open(this.#takes(label, this.targets) ? label : OTHER);
  }

  /**
   * The counters of a route, for requests to which retries or timeouts apply.
   * @param route name of a route of the ServiceProfile; empty: none
   */
  route(target: string, route: string): RouteCounters {
    const key = keyOf(target, route.replaceAll(SEPARATOR, ' '));
    const bounded = this.#routes.has(key) || this.#takes(target, this.#routes) ? key : keyOf(OTHER, '');
    let counters = this.#routes.get(bounded);
    if (counters === undefined) this.#routes.set(bounded, (counters = new RouteCounters()));
    return counters;
  }

  /** By target; only of targets that are groups. */
  get groups(): ReadonlyMap<string, GroupCounters> {
    return this.#groups;
  }

  /** The counters of a target that is a group, for its requests and raw connections. */
  group(target: string): GroupCounters {
    const bounded = this.#groups.has(target) || this.#takes(target, this.#groups) ? target : OTHER;
    let counters = this.#groups.get(bounded);
    if (counters === undefined) this.#groups.set(bounded, (counters = new GroupCounters()));
    return counters;
  }

  /**
   * The proxy itself has answered a request, or ended a connection.
   * @param target undefined: no service was known yet
   */
  failure(kind: FailureKind, target: string | undefined, layer: Layer = 'http'): void {
    add(this.failures, keyOf(layer, kind));
    if (target !== undefined) this.target(target).failure(kind);
  }

  caught(error: unknown): ProxyFailure {
    if (error instanceof ProxyFailure) return error;
    const thrown = typeof error === 'object' && error !== null ? error : undefined;
    const known = thrown === undefined ? undefined : this.#caught.get(thrown);
    if (known !== undefined) return known;
    const failure = internalError(error);
    if (thrown !== undefined) this.#caught.set(thrown, failure);
    this.internalErrors++;
    this.#options.onCaught?.(error);
    return failure;
  }

  /**
   * A request of a target has ended that is recorded, so that its trace tells where the time went.
   * @param target as `target` is asked
   */
  example(target: string, example: Omit<LatencyExample, 'target'>): void {
    this.#examples.add({ ...example, target: this.targets.has(target) ? target : OTHER });
  }

  /** A request was over a limit. @param policy `group/kind/name` of what limits */
  rateLimited(target: string, policy: string, scope: string): void {
    addBounded(this.rateLimits, keyOf(target, policy, scope), keyOf(OTHER, OTHER, OTHER));
  }

  /** A fault was injected into a request or raw connection. */
  fault(target: string, kind: 'delay' | 'abort' | 'reset'): void {
    addBounded(this.faults, keyOf(target, kind), keyOf(OTHER, kind));
  }

  /**
   * What is counted of a client and a target together.
   * @param client identity or address
   * @param from the cluster that it says it is in
   */
  pair(client: string, target: string, from?: SourceOfFlows): PairCounters {
    return this.pairs.of(client, this.#exists(target) ? target : OTHER, from);
  }

  /** A connection was refused before it was known what it wants. */
  refuse(reason: string): void {
    add(this.refused, reason);
  }

  /** A transport header has come. */
  header(protocol: string, name: string, port: number, client = ''): void {
    // Case and a trailing dot do not matter to whoever looks the name up, so they must not make series.
    const plain = plainName(name);
    const known = name === '' || this.#exists(targetKey(plain, port));
    const target = known ? keyOf(plain, port) : keyOf(OTHER, 0);
    addBounded(this.headers, keyOf(protocol, target, this.#client(client)), keyOf(protocol, OTHER, 0, OTHER));
  }

  /**
   * The counter of requests, or raw connections, of one client that were allowed or denied. The caller keeps
   * it and counts it up: looking it up costs more than counting.
   * @param policy `group/kind/name` of what decided; empty for the default
   */
  authorization(layer: Layer, allowed: boolean, client: string, policy = ''): Counter {
    const verdict = keyOf(layer, allowed ? 'allow' : 'deny');
    const key = keyOf(verdict, this.#client(client), policy);
    const full = this.authorizations.size >= MAX_SERVICES && !this.authorizations.has(key);
    const bounded = full ? keyOf(verdict, OTHER, OTHER) : key;
    let counter = this.authorizations.get(bounded);
    if (counter === undefined) this.authorizations.set(bounded, (counter = { count: 0 }));
    return counter;
  }

  /**
   * The counters of connections to the endpoints of a service; `OTHER`'s where the service has none of its
   * own. To be asked for with each connection: those of a service that is gone and unused are forgotten.
   */
  endpointOf(target: string): ConnectionCounters {
    const known = this.#endpoints.get(target);
    if (known !== undefined) return known;
    const label = this.#takes(target, this.#endpoints) ? target : OTHER;
    const counters = this.#endpoints.get(label) ?? new ConnectionCounters();
    this.#endpoints.set(label, counters);
    return counters;
  }

  /** All numbers, read where they are. Forgets services that have been gone and unused for 10 minutes. */
  view(): CountersView {
    this.#forget();
    const numbers = <T>(counters: { readonly numbers: T }) => counters.numbers;
    return {
      targets: this.targets,
      routes: tableOf(this.#routes, numbers),
      groups: tableOf(this.#groups, numbers),
      failures: this.failures,
      refused: this.refused,
      headers: this.headers,
      authorizations: tableOf(this.authorizations, ({ count }) => count),
      rateLimits: this.rateLimits,
      faults: this.faults,
      client: this.client.numbers,
      shared: this.shared.numbers,
      endpoints: tableOf(this.#endpoints, numbers),
      streams: { ...this.streams },
      internalErrors: this.internalErrors,
      examples: this.#examples,
    };
  }

  /** All numbers as they are now; forgets as `view` does. */
  snapshot(): CountersSnapshot {
    return snapshotOf(this.view());
  }

  #open(label: string): TargetCounters {
    const known = this.targets.get(label);
    if (known !== undefined) return known;
    const counters = new TargetCounters();
    this.targets.set(label, counters);
    return counters;
  }

  #takes(label: string, counted: ReadonlyMap<string, unknown>): boolean {
    return counted.size < MAX_SERVICES && this.#exists(label);
  }

  #client(identity: string): string {
    if (this.#clients.has(identity)) return identity;
    if (this.#clients.size >= MAX_CLIENTS) return OTHER;
    this.#clients.add(identity);
    return identity;
  }

  #forget(): void {
    const { clock } = this.#options;
    if (clock === undefined) return;
    const now = clock.now();
    for (const [label, { requests, inFlight }] of this.targets) {
      if (inFlight > 0 || this.#exists(label)) {
        this.#gone.delete(label);
        continue;
      }
      const last = this.#gone.get(label);
      if (last?.requests !== requests) this.#gone.set(label, { requests, since: now });
      else if (now - last.since >= RETAIN_MS) this.#drop(label);
    }
    for (const [label, { open }] of this.#endpoints) {
      if (open === 0 && !this.targets.has(label) && !this.#exists(label)) this.#endpoints.delete(label);
    }
  }

  #exists(label: string): boolean {
    return label === OTHER || this.#options.known?.(label) !== false;
  }

  #drop(label: string): void {
    this.#gone.delete(label);
    const counters = this.targets.get(label);
    if (counters !== undefined) counters.forgotten = true;
    this.targets.delete(label);
    this.#groups.delete(label);
    for (const key of this.#routes.keys()) if (key.startsWith(label + SEPARATOR)) this.#routes.delete(key);
    const { name, port } = splitTargetKey(label);
    const inKey = SEPARATOR + keyOf(name, port) + SEPARATOR;
    for (const key of this.headers.keys()) if (key.includes(inKey)) this.headers.delete(key);
    for (const counts of [this.rateLimits, this.faults])
      for (const key of counts.keys()) if (key.startsWith(label + SEPARATOR)) counts.delete(key);
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function addBounded(counts: Map<string, number>, key: string, overflow: string): void {
  add(counts, counts.has(key) || counts.size < MAX_SERVICES ? key : overflow);
}
