import { appendChunk } from '../../../base/gathered-bytes.ts';
import type { Field } from '../../http/fields.ts';
import type { UpstreamHandler } from '../../http/messages.ts';
import type { Attempt } from './attempt.ts';
import { ReplayBody, type ReplayRoom } from './replay-body.ts';

/**
 * The body of a request that may be sent more than once: the part that is kept for another attempt, and the
 * part that waits until an attempt has a connection.
 */
export class Upload {
  readonly #room: ReplayRoom;
  readonly #max: number | undefined;
  readonly #bodiless: boolean;
  #body: ReplayBody | undefined;
  /** What was kept has been dropped, and nothing more is kept. */
  #dropped = false;
  /** Parts that came when they could not be kept, and no attempt had a connection. */
  #waiting: Buffer[] | undefined;
  /** Whether there was a part that could not be kept: the request cannot be sent again. */
  #unkept = false;
  #ended: boolean;
  #trailers: readonly Field[] | undefined;

  /**
   * @param room from which memory for the body is taken
   * @param max bytes that are kept; default `MAX_REPLAY`
   * @param bodiless whether the request has no body
   */
  constructor(room: ReplayRoom, max: number | undefined, bodiless: boolean) {
    this.#room = room;
    this.#max = max;
    this.#bodiless = bodiless;
    this.#ended = bodiless;
  }

  /** Whether all of the request has come. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether all that has come so far can be sent to another attempt. */
  get replayable(): boolean {
    return !this.#unkept && !this.#dropped;
  }

  /**
   * Takes a part of the body.
   * @param open the current attempt, if it has a connection
   * @returns how many bytes count as sent, for flow control: all of them where they are kept
   */
  write(chunk: Buffer, open: Attempt | undefined): number {
    if (this.#waiting === undefined && this.#keep(chunk)) {
      open?.send(chunk, true);
      return chunk.length;
    }
    this.#unkept = true;
    if (open === undefined) {
      appendChunk((this.#waiting ??= []), chunk);
      return 0;
    }
    this.drop();
    return open.send(chunk, false);
  }

  /** The request has ended. @param open the current attempt, if it has a connection */
  end(trailers: readonly Field[] | undefined, open: Attempt | undefined): void {
    this.#ended = true;
    this.#trailers = trailers;
    open?.end(trailers, false);
  }

  /**
   * Sends all that has come so far to an attempt that has just got its connection.
   * @param handler is told of bytes that `write` has not counted as sent, and now are
   */
  sendTo(one: Attempt, handler: Pick<UpstreamHandler, 'onRequestSent'>): void {
    if (this.#body !== undefined) for (const chunk of this.#body.chunks) one.send(chunk, true);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) {
      this.drop();
      for (const chunk of waiting) {
        const sent = one.send(chunk, false);
        if (sent > 0) handler.onRequestSent(sent);
      }
    }
    if (this.#ended) one.end(this.#trailers, this.#bodiless);
  }

  /** The request is not sent again: what was kept for that is dropped. */
  drop(): void {
    this.#dropped = true;
    this.#body?.drop();
    this.#body = undefined;
  }

  /** Nothing is sent any more. */
  finish(): void {
    this.drop();
    this.#waiting = undefined;
  }

  #keep(chunk: Buffer): boolean {
    if (this.#dropped || this.#unkept) return false;
    this.#body ??= new ReplayBody(this.#room, this.#max);
    return this.#body.keep(chunk);
  }
}
