import { splitTargetKey, targetKey } from '../../api/ports/target-key.ts';
import { plainName } from '../../base/dns-name.ts';
import type { Clock } from '../../base/clock.ts';
import { ConnectionCounters, type ConnectionCounts, NO_CONNECTIONS, OTHER } from './connection-counters.ts';
import { type Boundary, internalError } from '../http/failure-boundary.ts';
import { type FailureKind, ProxyFailure } from '../http/failures.ts';
import { observe, responseKey, type ResponseNumbers } from './histogram.ts';
import { RouteCounters, type RouteCounts } from './route-counters.ts';

/** Services, and transport headers, that are counted one by one. */
const MAX_SERVICES = 10_000;
/** Client identities that are counted one by one. */
const MAX_CLIENTS = 200;
/** How long the numbers of a service stay that is gone and unused (Linkerd's `METRICS_RETAIN_IDLE`). */
const RETAIN_MS = 600_000;

/** Between the parts of a key; no name or identity has it. */
const SEPARATOR = '\t';
const keyOf = (...parts: (string | number)[]): string => parts.join(SEPARATOR);
/** The parts of a key of `failures`, `headers` or `authorizations`. */
export const readKey = (key: string): string[] => key.split(SEPARATOR);

/** Whether it was HTTP or raw bytes. */
export type Layer = 'http' | 'tcp';

/** What is counted by one number. */
export interface Counter {
  count: number;
}

/** Requests of one target. */
export interface TargetCounters {
  requests: number;
  /** By `responseKey`. */
  readonly responses: Map<number, ResponseNumbers>;
}

/** Stream mode: connections that are open now, and what has travelled on them. */
export interface StreamCounts {
  readonly connections: number;
  readonly requests: number;
  readonly tunnels: number;
}

/**
 * Everything that was counted, as plain JSON: what a worker process tells its parent. All numbers but `open`
 * only grow.
 */
export interface CountersSnapshot {
  readonly targets: Readonly<
    Record<
      string,
      { readonly requests: number; readonly responses: Readonly<Record<string, ResponseNumbers>> }
    >
  >;
  /** By target and route; of targets with retries or timeouts. */
  readonly routes: Readonly<Record<string, RouteCounts>>;
  /** By layer and kind. */
  readonly failures: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  /** By protocol, name, port and client. */
  readonly headers: Readonly<Record<string, number>>;
  /** By layer, `allow` or `deny`, client and policy. */
  readonly authorizations: Readonly<Record<string, number>>;
  /** Requests over a limit, by service, policy and scope. */
  readonly rateLimits: Readonly<Record<string, number>>;
  /** Injected faults, by service and kind. */
  readonly faults: Readonly<Record<string, number>>;
  readonly client: ConnectionCounts;
  /** Connections that are not for one service: an egress' to gateways, which its flows share. */
  readonly shared: ConnectionCounts;
  /** Connections to endpoints by `name:port`. */
  readonly endpoints: Readonly<Record<string, ConnectionCounts>>;
  readonly streams: StreamCounts;
  /** Exceptions that nobody foresaw. */
  readonly internalErrors: number;
}

export interface CountersOptions {
  /**
   * Whether a service (`name:port`) exists; one that does not is counted under `other`, so that nobody can
   * make series by asking for names. Default: all exist.
   */
  known?(target: string): boolean;
  /** Told of exceptions that nobody foresaw, for the log. */
  readonly onCaught?: (error: unknown) => void;
  /** For forgetting services that have gone; without it nothing is forgotten. */
  readonly clock?: Clock;
}

/**
 * What the data path counts, in plain numbers; published when somebody asks (`counters-exposition.ts`). One
 * per process.
 */
export class ProxyCounters implements Boundary {
  readonly targets = new Map<string, TargetCounters>();
  readonly failures = new Map<string, number>();
  /** Connections refused before a service was known, by reason. */
  readonly refused = new Map<string, number>();
  readonly headers = new Map<string, number>();
  readonly authorizations = new Map<string, Counter>();
  readonly rateLimits = new Map<string, number>();
  readonly faults = new Map<string, number>();
  readonly client = new ConnectionCounters();
  readonly shared = new ConnectionCounters();
  readonly streams = { connections: 0, requests: 0, tunnels: 0 };
  /** Exceptions that nobody foresaw. */
  internalErrors = 0;
  readonly #caught = new WeakMap<object, ProxyFailure>();
  readonly #endpoints = new Map<string, ConnectionCounters>();
  /** By target and route. */
  readonly #routes = new Map<string, RouteCounters>();
  readonly #clients = new Set<string>();
  readonly #options: CountersOptions;
  /** Services that have gone: their number of requests, and since when it has stood still. */
  readonly #gone = new Map<string, { requests: number; since: number }>();

  constructor(options: CountersOptions = {}) {
    this.#options = options;
  }

  request(target: string): void {
    this.#target(target).requests++;
  }

  /**
   * @param ms time to the first byte of the response
   * @param grpc status of a gRPC response, known at its end
   */
  response(target: string, status: number, ms: number, grpc?: number): void {
    observe(this.#target(target).responses, responseKey(status, grpc), ms);
  }

  /**
   * Requests of a target to which retries or timeouts apply.
   * @param route of its ServiceProfile; empty where none is meant
   */
  route(target: string, route: string): RouteCounters {
    const key = keyOf(target, route.replaceAll(SEPARATOR, ' '));
    const bounded = this.#routes.has(key) || this.#takes(target, this.#routes) ? key : keyOf(OTHER, '');
    let counters = this.#routes.get(bounded);
    if (counters === undefined) this.#routes.set(bounded, (counters = new RouteCounters()));
    return counters;
  }

  /** The proxy answered, or ended a connection, itself. */
  failure(kind: FailureKind, layer: Layer = 'http'): void {
    add(this.failures, keyOf(layer, kind));
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

  /** A request was over a limit. @param policy `group/kind/name` of what limits */
  rateLimited(target: string, policy: string, scope: string): void {
    addBounded(this.rateLimits, keyOf(target, policy, scope), keyOf(OTHER, OTHER, OTHER));
  }

  /** A fault was injected into a request or raw connection. */
  fault(target: string, kind: 'delay' | 'abort' | 'reset'): void {
    addBounded(this.faults, keyOf(target, kind), keyOf(OTHER, kind));
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
   * Counts who asked, and whether he may. It is worth keeping: looking it up costs more than counting.
   * @param policy name of what decided; none for the default
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
   * Connections to the endpoints of a service; to be asked for with each connection, since what is gone and
   * unused is forgotten. What is too much to count one by one is counted under `OTHER`.
   */
  endpointOf(target: string): ConnectionCounters {
    const known = this.#endpoints.get(target);
    if (known !== undefined) return known;
    const label = this.#takes(target, this.#endpoints) ? target : OTHER;
    const counters = this.#endpoints.get(label) ?? new ConnectionCounters();
    this.#endpoints.set(label, counters);
    return counters;
  }

  /** All numbers as they are now. Forgets services that have been gone and unused for 10 minutes. */
  snapshot(): CountersSnapshot {
    this.#forget();
    return {
      targets: Object.fromEntries(
        [...this.targets].map(([label, { requests, responses }]) => [
          label,
          { requests, responses: Object.fromEntries(responses) },
        ]),
      ),
      routes: Object.fromEntries([...this.#routes].map(([key, { numbers }]) => [key, numbers])),
      failures: Object.fromEntries(this.failures),
      refused: Object.fromEntries(this.refused),
      headers: Object.fromEntries(this.headers),
      authorizations: Object.fromEntries([...this.authorizations].map(([key, { count }]) => [key, count])),
      rateLimits: Object.fromEntries(this.rateLimits),
      faults: Object.fromEntries(this.faults),
      client: this.client.numbers,
      shared: this.shared.numbers,
      endpoints: Object.fromEntries([...this.#endpoints].map(([label, { numbers }]) => [label, numbers])),
      streams: { ...this.streams },
      internalErrors: this.internalErrors,
    };
  }

  #target(label: string): TargetCounters {
    const counters = this.targets.get(label);
    if (counters !== undefined) return counters;
    return this.#open(this.#takes(label, this.targets) ? label : OTHER);
  }

  #open(label: string): TargetCounters {
    const known = this.targets.get(label);
    if (known !== undefined) return known;
    const counters: TargetCounters = { requests: 0, responses: new Map() };
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
    for (const [label, { requests }] of this.targets) {
      if (this.#exists(label)) {
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
    this.targets.delete(label);
    for (const key of this.#routes.keys()) if (key.startsWith(label + SEPARATOR)) this.#routes.delete(key);
    const { name, port } = splitTargetKey(label);
    const inKey = SEPARATOR + keyOf(name, port) + SEPARATOR;
    for (const key of this.headers.keys()) if (key.includes(inKey)) this.headers.delete(key);
    for (const counts of [this.rateLimits, this.faults])
      for (const key of counts.keys()) if (key.startsWith(label + SEPARATOR)) counts.delete(key);
  }
}

/** Nothing counted yet. */
export const EMPTY_SNAPSHOT: CountersSnapshot = {
  targets: {},
  routes: {},
  failures: {},
  refused: {},
  headers: {},
  authorizations: {},
  rateLimits: {},
  faults: {},
  client: NO_CONNECTIONS,
  shared: NO_CONNECTIONS,
  endpoints: {},
  streams: { connections: 0, requests: 0, tunnels: 0 },
  internalErrors: 0,
};

/** The sum of two processes' numbers. */
export function addSnapshots(a: CountersSnapshot, b: CountersSnapshot): CountersSnapshot {
  return sum(a as unknown as Tree, b as unknown as Tree) as unknown as CountersSnapshot;
}

/** What remains of a process that has ended: what it has carried counts on, what it had open is closed. */
export function endedSnapshot(snapshot: CountersSnapshot): CountersSnapshot {
  const ended = (numbers: ConnectionCounts): ConnectionCounts => ({ ...numbers, open: 0 });
  return {
    ...snapshot,
    client: ended(snapshot.client),
    shared: ended(snapshot.shared),
    endpoints: Object.fromEntries(
      Object.entries(snapshot.endpoints).map(([label, numbers]) => [label, ended(numbers)]),
    ),
    streams: { ...snapshot.streams, connections: 0 },
  };
}

type Tree = number | readonly Tree[] | { readonly [key: string]: Tree };

/** Adds numbers that stand at the same place; what only one side has is taken as it is. */
function sum(a: Tree | undefined, b: Tree | undefined): Tree {
  if (a === undefined) return b ?? 0;
  if (b === undefined) return a;
  if (typeof a === 'number' || typeof b === 'number') return Number(a) + Number(b);
  if (Array.isArray(a) || Array.isArray(b)) {
    const [left, right] = [a as readonly Tree[], b as readonly Tree[]];
    return Array.from({ length: Math.max(left.length, right.length) }, (_, at) => sum(left[at], right[at]));
  }
  const [left, right] = [a as Record<string, Tree>, b as Record<string, Tree>];
  const all: Record<string, Tree> = { ...left };
  for (const [key, value] of Object.entries(right)) all[key] = sum(left[key], value);
  return all;
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function addBounded(counts: Map<string, number>, key: string, overflow: string): void {
  add(counts, counts.has(key) || counts.size < MAX_SERVICES ? key : overflow);
}
