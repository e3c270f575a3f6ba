import type { Clock, Timer } from '../../../base/clock.ts';
import type { ProxyFailure } from '../../http/failures.ts';
import type { Field } from '../../http/fields.ts';
import type { IncomingResponse, Upstream, UpstreamHandler } from '../../http/messages.ts';

/** What an answer that nobody wants may still cost, so that its connection can be used again. */
const MAX_DISCARDED = 64 * 1024;
const DISCARD_MS = 1000;

/** Hears of a try, as long as it counts. */
export interface AttemptOwner {
  onTryInterim(status: number, fields: readonly Field[]): void;
  onTryResponse(one: Attempt, response: IncomingResponse): void;
  onTryBody(chunk: Buffer): void;
  onTryEnd(one: Attempt, trailers: readonly Field[] | undefined): void;
  /** So many bytes that the client still counts as held back have been sent. */
  onTrySent(bytes: number): void;
  /** All of the request has been sent. */
  onTryFlushed(one: Attempt): void;
  onTryFailure(one: Attempt, failure: ProxyFailure, unprocessed: boolean): void;
}

/** One try of a request at one endpoint. When it does not count any more nobody hears of it. */
export class Attempt implements UpstreamHandler {
  readonly startedAt: number;
  readonly #clock: Clock;
  #owner: AttemptOwner | undefined;
  #upstream: Upstream | undefined;
  /** Bytes that have been written and not been sent, and how many of them the client does not wait for. */
  #unsent = 0;
  #ahead = 0;
  #ended = false;
  #flushed = false;
  #answered = false;
  /** Bytes of an answer that nobody wants; undefined = it is wanted, or nothing of it will come. */
  #discarded: number | undefined;
  #discarding: Timer | undefined;

  constructor(owner: AttemptOwner, clock: Clock) {
    this.#owner = owner;
    this.#clock = clock;
    this.startedAt = clock.monotonic();
  }

  /** Undefined until there is a connection. */
  get upstream(): Upstream | undefined {
    return this.#upstream;
  }

  get flushed(): boolean {
    return this.#flushed;
  }

  /** There is a connection. @returns false when it comes too late */
  opened(upstream: Upstream): boolean {
    if (this.#owner === undefined) {
      upstream.abandon();
      return false;
    }
    this.#upstream = upstream;
    return true;
  }

  /**
   * Sends a part of the body.
   * @param kept the client has been told already that it is sent
   * @returns bytes that are sent
   */
  send(chunk: Buffer, kept: boolean): number {
    const sent = this.#upstream?.write(chunk) ?? chunk.length;
    this.#unsent += chunk.length - sent;
    if (kept) this.#ahead += chunk.length - sent;
    return sent;
  }

  /** The request is complete. @param bodiless it was so with its head */
  end(trailers: readonly Field[] | undefined, bodiless: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!bodiless) this.#upstream?.end(trailers);
    this.#checkFlushed();
  }

  consumed(bytes: number): void {
    this.#upstream?.consumed(bytes);
  }

  /** It does not count any more. @param failed by the endpoint's doing */
  giveUp(failed: boolean): void {
    this.#owner = undefined;
    this.#upstream?.abandon(failed);
  }

  /** Its answer is not wanted. The rest is read where that is cheaper than another connection. */
  discard(): void {
    this.#owner = undefined;
    if (this.#answered) return;
    this.#discarded = 0;
    this.#discarding = this.#clock.after(DISCARD_MS, () => this.#stopDiscarding(), { unref: true });
  }

  onInterimResponse(status: number, fields: readonly Field[]): void {
    this.#owner?.onTryInterim(status, fields);
  }

  onResponse(response: IncomingResponse): void {
    this.#owner?.onTryResponse(this, response);
  }

  onResponseBody(chunk: Buffer): void {
    if (this.#owner !== undefined) return this.#owner.onTryBody(chunk);
    this.#upstream?.consumed(chunk.length);
    if (this.#discarded === undefined) return;
    this.#discarded += chunk.length;
    if (this.#discarded > MAX_DISCARDED) this.#stopDiscarding();
  }

  onResponseEnd(trailers: readonly Field[] | undefined): void {
    this.#complete();
    this.#owner?.onTryEnd(this, trailers);
  }

  onRequestSent(bytes: number): void {
    this.#unsent -= bytes;
    const kept = Math.min(bytes, this.#ahead);
    this.#ahead -= kept;
    if (bytes > kept) this.#owner?.onTrySent(bytes - kept);
    this.#checkFlushed();
  }

  onFailure(failure: ProxyFailure, unprocessed: boolean): void {
    this.#complete();
    this.#owner?.onTryFailure(this, failure, unprocessed);
  }

  #complete(): void {
    this.#answered = true;
    this.#discarded = undefined;
    this.#discarding?.cancel();
  }

  #checkFlushed(): void {
    if (!this.#ended || this.#unsent > 0 || this.#flushed) return;
    this.#flushed = true;
    this.#owner?.onTryFlushed(this);
  }

  #stopDiscarding(): void {
    if (this.#discarded === undefined) return;
    this.#complete();
    this.#upstream?.abandon();
  }
}
