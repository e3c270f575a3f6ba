import type { Timer } from '../../base/clock.ts';
import { forEachIsolated } from '../../base/isolation.ts';
import { Http2Connection } from '../../proxy/http2/http2-connection.ts';
import { RoundTrip, type RoundTripTimes } from '../../proxy/http2/round-trip.ts';
import type { Http2User } from '../../proxy/http2/http2-options.ts';
import type { Connection } from '../../proxy/io/connection.ts';
import { clusterFrame } from '../../proxy/streams/cluster-frame.ts';
import { MAX_STREAMS, STREAM_WINDOWS } from '../../proxy/streams/stream-head.ts';
import type { GatewayPoolOptions } from './gateway-pool-options.ts';

/**
 * Least and greatest age at which a trunk is replaced, so that new gateway replicas get their share;
 * milliseconds.
 */
const MIN_AGE_MS = 8 * 60_000;
const MAX_AGE_MS = 12 * 60_000;
/** A trunk beyond the first that has had no stream for this time is closed; milliseconds. */
const IDLE_MS = 60_000;
/** How soon an old trunk for which no other could be opened is tried to be replaced again, milliseconds. */
const AGAIN_MS = 10_000;
/**
 * How soon a new trunk is asked how long a round trip takes, and how often after that, busy or not;
 * milliseconds.
 */
const FIRST_ROUND_MS = 1000;
const ROUND_MS = 10_000;
/** How often a trunk that its gateway has ended is replaced at once, milliseconds. */
const REPLACE_MS = 1000;
/** Keep-alive, milliseconds: all flows to a gateway are on its trunks, so a dead one must be noticed soon. */
const KEEP_ALIVE_MS = 2000;
const KEEP_ALIVE_TIMEOUT_MS = 3000;
/**
 * The same while streams are open, milliseconds: requests on a dead connection are lost, or sent elsewhere,
 * after no more than both together.
 */
const KEEP_ALIVE_BUSY = { periodMs: 500, timeoutMs: 1000 };
/** What they are called in the log. */
const WHAT = 'connections to a gateway';
const EMPTY = Buffer.alloc(0);

/** Whose trunks they are: it opens them, and hears when none is left. */
export interface TrunksOwner {
  /** Opens one more and hands it over (`Trunks.add`). @throws ProxyFailure */
  readonly connect: () => Promise<void>;
  /** The same in the background, if none is being opened anyway. */
  readonly openAnother: () => void;
  /** The last one that took new streams was lost. */
  readonly onLost: () => void;
  /** Its gateway has ended the last one, and the one before it just now: none is opened at once. */
  readonly onEndedAgain: () => void;
}

/**
 * The trunks to one gateway address, which are connections whose streams are the flows of all routes. Each is
 * replaced by age, on demand, and where its gateway ends it; those that nobody uses are closed. Which of them
 * takes a stream is its owner's choice.
 */
export class Trunks implements Http2User<Http2Connection> {
  readonly #options: GatewayPoolOptions;
  readonly #owner: TrunksOwner;
  readonly #pooled = new Set<Http2Connection>();
  /** All that are open, with the timers of their replacement and of their next PING. */
  readonly #open = new Map<Http2Connection, { readonly old: Timer; round: Timer }>();
  readonly #round: RoundTrip;
  /** Before then, one that its gateway has ended is not replaced at once (monotonic milliseconds). */
  #noReplacementUntil = 0;
  #closed = false;

  constructor(options: GatewayPoolOptions, owner: TrunksOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#round = new RoundTrip(options.clock);
  }

  /** How long round trips to the address take; undefined: none has been measured yet. */
  get roundTrip(): RoundTripTimes | undefined {
    return this.#round.times;
  }

  /** Streams on all trunks. */
  get streams(): number {
    let streams = 0;
    for (const { active } of this.#open.keys()) streams += active;
    return streams;
  }

  /** Those that take new streams; changes as they come and go. */
  get pooled(): ReadonlySet<Http2Connection> {
    return this.#pooled;
  }

  /** How many are open, also those that only end what they have. */
  get open(): number {
    return this.#open.size;
  }

  /**
   * Takes in a connection on which the gateway has agreed to streams.
   * @param namesClients whether its streams name the client on whose behalf they are (ADR 0031)
   */
  add(bytes: Connection, namesClients: boolean): Http2Connection {
    const { clock, random, counters, keepAliveMs, cluster } = this.#options;
    const trunk = new Http2Connection(bytes, {
      role: 'client',
      clock,
      user: this,
      boundary: counters,
      maxOpened: MAX_STREAMS,
      namesClients,
      ...STREAM_WINDOWS,
      keepAliveMs: keepAliveMs ?? KEEP_ALIVE_MS,
      keepAliveTimeoutMs: KEEP_ALIVE_TIMEOUT_MS,
      keepAliveBusy: keepAliveMs === undefined ? KEEP_ALIVE_BUSY : undefined,
    });
    counters.streams.connections++;
    const ageMs = MIN_AGE_MS + (MAX_AGE_MS - MIN_AGE_MS) * random();
    const old = clock.after(ageMs, () => this.replace(trunk), { unref: true });
    this.#open.set(trunk, { old, round: this.#measure(trunk, FIRST_ROUND_MS) });
    this.#pooled.add(trunk);
    trunk.start(EMPTY);
    if (cluster !== undefined) trunk.control(clusterFrame(cluster));
    this.#watchIdle(trunk, -1);
    if (this.#closed) this.#retireUnused(trunk);
    return trunk;
  }

  /** Replaces a trunk by a new one; the old one closes when its flows have ended. */
  replace(old: Http2Connection): void {
    if (!this.#pooled.has(old)) return;
    if (this.#closed) return this.#retire(old);
    this.#owner.connect().then(
      () => this.#retire(old),
      // Its owner knows why; the old one serves until there is another.
      () => this.#options.clock.after(AGAIN_MS, () => this.replace(old), { unref: true }),
    );
  }

  /** Replaces every one: our certificate was renewed. */
  replaceAll(): void {
    forEachIsolated(WHAT, this.#pooled, (trunk) => this.replace(trunk));
  }

  /** Takes no new streams; each closes when its streams have ended. */
  close(): void {
    this.#closed = true;
    forEachIsolated(WHAT, this.#pooled, (trunk) => this.#retire(trunk));
  }

  /** Cuts all. */
  destroy(): void {
    this.close();
    forEachIsolated(WHAT, this.#open.keys(), (trunk) => trunk.destroy());
  }

  onRequest(): void {
    // A gateway opens no streams.
  }

  onTooLarge(): void {
    // A gateway sends no requests.
  }

  onStreamClosed(): void {
    // Nothing waits for room.
  }

  onSettings(trunk: Http2Connection, maxStreams: number): void {
    if (maxStreams !== 0 || !this.#pooled.has(trunk)) return;
    // One that allows no streams is dropped; otherwise every attempt would leave one behind.
    this.#retire(trunk);
    this.#replaceEnded();
  }

  onGoAway(trunk: Http2Connection): void {
    this.#pooled.delete(trunk);
    this.#replaceEnded();
  }

  onPong(trunk: Http2Connection, payload: Buffer): void {
    this.#round.answered(trunk, payload);
  }

  onClosed(trunk: Http2Connection): void {
    if (this.#pooled.delete(trunk) && this.#pooled.size === 0) this.#owner.onLost();
    const timers = this.#open.get(trunk);
    timers?.old.cancel();
    timers?.round.cancel();
    this.#round.forget(trunk);
    if (this.#open.delete(trunk)) this.#options.counters.streams.connections--;
  }

  #measure(trunk: Http2Connection, ms: number): Timer {
    const ask = () => {
      const timers = this.#open.get(trunk);
      if (timers === undefined) return;
      timers.round = this.#measure(trunk, ROUND_MS);
      this.#round.ask(trunk);
    };
    return this.#options.clock.after(ms, ask, { unref: true });
  }

  /** Opens another where the gateway does not want the last one used any more. */
  #replaceEnded(): void {
    if (this.#pooled.size > 0 || this.#closed) return;
    const now = this.#options.clock.monotonic();
    // A gateway that ends each connection as soon as it stands would have one after another.
    if (now < this.#noReplacementUntil) return this.#owner.onEndedAgain();
    this.#noReplacementUntil = now + REPLACE_MS;
    // So that the next flow finds a connection, or one that is being opened.
    this.#owner.openAnother();
  }

  #retire(trunk: Http2Connection): void {
    this.#pooled.delete(trunk);
    trunk.retire();
  }

  /** Whoever has waited for a connection takes it in the turn in which it stands. */
  #retireUnused(trunk: Http2Connection): void {
    const retire = () => {
      if (trunk.active === 0) this.#retire(trunk);
    };
    this.#options.clock.after(0, retire, { unref: true });
  }

  /** Closes a trunk beyond the first that has had no stream for a whole period. */
  #watchIdle(trunk: Http2Connection, openedBefore: number): void {
    const look = () => {
      if (!this.#pooled.has(trunk)) return;
      const idle = trunk.active === 0 && trunk.nextStreamId === openedBefore;
      if (idle && (this.#closed || this.#pooled.size > 1)) this.#retire(trunk);
      else this.#watchIdle(trunk, trunk.nextStreamId);
    };
    this.#options.clock.after(IDLE_MS, look, { unref: true });
  }
}
