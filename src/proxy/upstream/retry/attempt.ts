import type { Clock, Timer } from '../../../base/clock.ts';
import type { ProxyFailure } from '../../http/failures.ts';
import type { Boundary } from '../../http/failure-boundary.ts';
import type { Field } from '../../http/fields.ts';
import type { IncomingResponse, OutgoingRequest, Upstream, UpstreamHandler } from '../../http/messages.ts';
import type { EarlierTries } from './earlier-tries.ts';

/** How many bytes of an unwanted answer are read, so that its connection can be used again. */
const MAX_DISCARDED = 64 * 1024;
/** For how long it is read, milliseconds. */
const DISCARD_MS = 1000;

/** What opens an attempt at an endpoint: a target. */
export interface AttemptOpener extends Boundary {
  openAttempt(
    protocol: 'http1' | 'http2',
    request: OutgoingRequest,
    handler: UpstreamHandler,
    how: { readonly fresh: boolean; readonly earlier: EarlierTries },
  ): Promise<Upstream>;
  /** As `SessionTarget.mayOpenAgain`. */
  mayOpenAgain(elapsedMs: number): boolean;
  /** As `SessionTarget.untilOpenAgain`. */
  untilOpenAgain(refusals: number): Promise<void>;
}

/** Gets the events of an attempt, as long as it counts. */
export interface AttemptOwner {
  onAttemptInterim(status: number, fields: readonly Field[]): void;
  onAttemptResponse(one: Attempt, response: IncomingResponse): void;
  onAttemptBody(chunk: Buffer): void;
  onAttemptEnd(one: Attempt, trailers: readonly Field[] | undefined): void;
  /** So many bytes that the client still counts as held back have been sent. */
  onAttemptSent(bytes: number): void;
  /** All of the request has been sent. */
  onAttemptFlushed(one: Attempt): void;
  onAttemptFailure(one: Attempt, failure: ProxyFailure, unprocessed: boolean): void;
}

/** One attempt of a request at one endpoint. Once it no longer counts, it reports nothing. */
export class Attempt implements UpstreamHandler {
  /** Monotonic milliseconds. */
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

  /** @param startedAt monotonic milliseconds, where the caller has just read the clock; default: now */
  constructor(owner: AttemptOwner, clock: Clock, startedAt = clock.monotonic()) {
    this.#owner = owner;
    this.#clock = clock;
    this.startedAt = startedAt;
  }

  /** Undefined until there is a connection. */
  get upstream(): Upstream | undefined {
    return this.#upstream;
  }

  /** Whether all of the request has been sent. */
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

  /** The request is complete. @param bodiless whether it was complete with its head */
  end(trailers: readonly Field[] | undefined, bodiless: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!bodiless) this.#upstream?.end(trailers);
    this.#checkFlushed();
  }

  consumed(bytes: number): void {
    this.#upstream?.consumed(bytes);
  }

  /** It does not count any more. @param failed whether the endpoint is to blame */
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
    this.#owner?.onAttemptInterim(status, fields);
  }

  onResponse(response: IncomingResponse): void {
    this.#owner?.onAttemptResponse(this, response);
  }

  onResponseBody(chunk: Buffer): void {
    if (this.#owner !== undefined) return this.#owner.onAttemptBody(chunk);
    this.#upstream?.consumed(chunk.length);
    if (this.#discarded === undefined) return;
    this.#discarded += chunk.length;
    if (this.#discarded > MAX_DISCARDED) this.#stopDiscarding();
  }

  onResponseEnd(trailers: readonly Field[] | undefined): void {
    this.#complete();
    this.#owner?.onAttemptEnd(this, trailers);
  }

  onRequestSent(bytes: number): void {
    this.#unsent -= bytes;
    const kept = Math.min(bytes, this.#ahead);
    this.#ahead -= kept;
    if (bytes > kept) this.#owner?.onAttemptSent(bytes - kept);
    this.#checkFlushed();
  }

  onFailure(failure: ProxyFailure, unprocessed: boolean): void {
    this.#complete();
    this.#owner?.onAttemptFailure(this, failure, unprocessed);
  }

  #complete(): void {
    this.#answered = true;
    this.#discarded = undefined;
    this.#discarding?.cancel();
  }

  #checkFlushed(): void {
    if (!this.#ended || this.#unsent > 0 || this.#flushed) return;
    this.#flushed = true;
    this.#owner?.onAttemptFlushed(this);
  }

  #stopDiscarding(): void {
    if (this.#discarded === undefined) return;
    this.#complete();
    this.#upstream?.abandon();
  }
}
