import type { Clock } from '../../base/clock.ts';
import type { FailureKind } from '../http/failures.ts';
import type { SessionProtocol } from '../http/messages.ts';
import { OTHER } from './connection-counters.ts';

/** Most clients that are told apart, and most pairs of a client and a target. */
const MAX_PEERS = 1000;
const MAX_PAIRS = 10_000;
/**
 * How many of the least busy clients make room at a time: so that no client pays for a look at all of them.
 */
const MAKE_ROOM = 100;
/** How soon room is looked for again where all had something in flight, milliseconds. */
const AGAIN_MS = 1000;
/** How long a pair is kept that nothing passes between. */
const RETAIN_MS = 600_000;

const PROTOCOLS: readonly SessionProtocol[] = ['http1', 'http2', 'opaque'];
/** By the bits of `PairCounters.protocols`: there are thousands of pairs in an answer. */
const PROTOCOL_SETS = Array.from({ length: 1 << PROTOCOLS.length }, (_, bits) =>
  PROTOCOLS.filter((_protocol, at) => (bits & (1 << at)) !== 0),
);
const NO_ERRORS = {};

/** The cluster that flows are said to come from. */
export interface SourceOfFlows {
  readonly cluster: string;
  /** Whether more than the word of whoever sends them says so. */
  readonly proven: boolean;
}

/** What passed between one client and one target, as plain JSON. */
export interface PairNumbers {
  /** Identity, or address where clients have none; `other`: clients that are not told apart. */
  readonly peer: string;
  readonly from?: SourceOfFlows;
  readonly target: string;
  readonly requests: number;
  readonly inFlight: number;
  /** Answers of 5xx, and of gRPC statuses that are failures. */
  readonly failures: number;
  /** What the proxy itself has answered or ended, by kind. */
  readonly errors: Readonly<Record<string, number>>;
  /** Body bytes from the client, and to it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** How long ago the last one began, milliseconds. */
  readonly idleMs: number;
  /** What the client has spoken. */
  readonly protocols: readonly SessionProtocol[];
}

/** Requests and raw connections of one client to one target. Whoever serves the client keeps it. */
export class PairCounters {
  readonly peer: string;
  readonly target: string;
  readonly from: SourceOfFlows | undefined;
  requests = 0;
  inFlight = 0;
  failures = 0;
  bytesIn = 0;
  bytesOut = 0;
  /** Which of `PROTOCOLS`: a bit for each. */
  protocols = 0;
  /** When the last one began (monotonic milliseconds). */
  lastAt = 0;
  /** It counts no more, and is to be asked for anew; never while anything is in flight. */
  forgotten = false;
  errors: Map<FailureKind, number> | undefined;

  constructor(peer: string, target: string, from?: SourceOfFlows) {
    this.peer = peer;
    this.target = target;
    this.from = from;
  }

  begin(at: number, protocol: SessionProtocol): void {
    this.protocols |= 1 << PROTOCOLS.indexOf(protocol);
    this.requests++;
    this.inFlight++;
    this.lastAt = at;
  }

  end(): void {
    this.inFlight--;
  }

  /** So many bytes have passed in one that ends. */
  carried(bytesIn: number, bytesOut: number): void {
    this.bytesIn += bytesIn;
    this.bytesOut += bytesOut;
  }

  error(kind: FailureKind): void {
    this.errors ??= new Map();
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
  }

  numbers(now: number): PairNumbers {
    const { peer, target, requests, inFlight, failures, bytesIn, bytesOut } = this;
    const errors = this.errors === undefined ? NO_ERRORS : Object.fromEntries(this.errors);
    const idleMs = Math.max(0, Math.round(now - this.lastAt));
    const said = this.from === undefined ? {} : { from: this.from };
    const protocols = PROTOCOL_SETS[this.protocols] ?? PROTOCOLS;
    const counted = { requests, inFlight, failures, errors, bytesIn, bytesOut, idleMs, protocols };
    return { peer, ...said, target, ...counted };
  }
}

interface Peer {
  /** What was counted of whoever had its place before: a newcomer may be as busy (Space-Saving). */
  readonly inherited: number;
  readonly pairs: Map<string, PairCounters>;
}

/**
 * Who asks for what. Clients can be as many as addresses, so the busiest are told apart and those that make
 * room for others count together.
 */
export class Pairs {
  readonly #clock: Pick<Clock, 'monotonic'> | undefined;
  readonly #peers = new Map<string, Peer>();
  readonly #rest = new PairCounters(OTHER, OTHER);
  #size = 0;
  #inherited = 0;
  /** All were busy: until then nobody is looked for (monotonic milliseconds). */
  #noRoomUntil = 0;

  /** @param clock times how long pairs have been idle; without it none is forgotten for that */
  constructor(clock: Pick<Clock, 'monotonic'> | undefined) {
    this.#clock = clock;
  }

  /** @param target one that is counted one by one, or `OTHER` */
  of(client: string, target: string, from?: SourceOfFlows): PairCounters {
    const name = nameOf(client, from);
    const known = this.#peers.get(name)?.pairs.get(target);
    if (known !== undefined) return known;
    const isNew = !this.#peers.has(name);
    if (this.#size >= MAX_PAIRS || (isNew && this.#peers.size >= MAX_PEERS)) this.#makeRoom();
    if (this.#size >= MAX_PAIRS || (isNew && this.#peers.size >= MAX_PEERS)) return this.#rest;
    const peer = this.#peers.get(name) ?? { inherited: this.#inherited, pairs: new Map() };
    this.#peers.set(name, peer);
    const pair = new PairCounters(client, target, from);
    peer.pairs.set(target, pair);
    this.#size++;
    return pair;
  }

  /** All pairs; forgets those that have been idle for 10 minutes. */
  numbers(): PairNumbers[] {
    const now = this.#clock?.monotonic() ?? 0;
    if (this.#clock !== undefined) this.#forgetIdle(now);
    const all = [...this.#peers.values()].flatMap(({ pairs }) => [...pairs.values()]);
    return (this.#rest.requests > 0 ? [...all, this.#rest] : all).map((pair) => pair.numbers(now));
  }

  #makeRoom(): void {
    const now = this.#clock?.monotonic() ?? 0;
    if (now < this.#noRoomUntil) return;
    if (this.#clock !== undefined) this.#forgetIdle(now);
    if (this.#size < MAX_PAIRS && this.#peers.size < MAX_PEERS) return;
    const ranked = [...this.#peers]
      .filter(([, { pairs }]) => [...pairs.values()].every(({ inFlight }) => inFlight === 0))
      .map(([name, { inherited, pairs }]): [name: string, rank: number] => [
        name,
        [...pairs.values()].reduce((sum, { requests }) => sum + requests, inherited),
      ])
      .sort(([, a], [, b]) => a - b);
    if (ranked.length === 0) this.#noRoomUntil = now + AGAIN_MS;
    for (const [name, rank] of ranked.slice(0, MAKE_ROOM)) {
      this.#inherited = Math.max(this.#inherited, rank);
      for (const pair of this.#peers.get(name)?.pairs.values() ?? []) this.#drop(name, pair);
    }
  }

  #forgetIdle(now: number): void {
    for (const [name, { pairs }] of this.#peers)
      for (const pair of pairs.values())
        if (pair.inFlight === 0 && now - pair.lastAt >= RETAIN_MS) this.#drop(name, pair);
  }

  /** What it has counted goes on to count, with all others. */
  #drop(name: string, pair: PairCounters): void {
    pair.forgotten = true;
    const rest = this.#rest;
    rest.requests += pair.requests;
    rest.failures += pair.failures;
    rest.lastAt = Math.max(rest.lastAt, pair.lastAt);
    rest.bytesIn += pair.bytesIn;
    rest.bytesOut += pair.bytesOut;
    rest.protocols |= pair.protocols;
    for (const [kind, count] of pair.errors ?? [])
      (rest.errors ??= new Map()).set(kind, (rest.errors.get(kind) ?? 0) + count);
    const pairs = this.#peers.get(name)?.pairs;
    pairs?.delete(pair.target);
    if (pairs?.size === 0) this.#peers.delete(name);
    this.#size--;
  }
}

/** A client is another one where it says it is in another cluster. */
function nameOf(client: string, from: SourceOfFlows | undefined): string {
  return from === undefined ? client : `${client}\t${from.cluster}${from.proven ? '' : '?'}`;
}

/** What several processes have counted of pairs together. */
export function addPairs(all: readonly (readonly PairNumbers[])[]): PairNumbers[] {
  const sums = new Map<string, PairNumbers>();
  for (const pair of all.flat()) {
    const key = `${nameOf(pair.peer, pair.from)}\t${pair.target}`;
    const sum = sums.get(key);
    sums.set(key, sum === undefined ? pair : together(sum, pair));
  }
  return [...sums.values()];
}

function together(a: PairNumbers, b: PairNumbers): PairNumbers {
  const errors: Record<string, number> = { ...a.errors };
  for (const [kind, count] of Object.entries(b.errors)) errors[kind] = (errors[kind] ?? 0) + count;
  return {
    peer: a.peer,
    ...(a.from && { from: a.from }),
    target: a.target,
    requests: a.requests + b.requests,
    inFlight: a.inFlight + b.inFlight,
    failures: a.failures + b.failures,
    errors,
    bytesIn: a.bytesIn + b.bytesIn,
    bytesOut: a.bytesOut + b.bytesOut,
    idleMs: Math.min(a.idleMs, b.idleMs),
    protocols: PROTOCOLS.filter((one) => a.protocols.includes(one) || b.protocols.includes(one)),
  };
}
