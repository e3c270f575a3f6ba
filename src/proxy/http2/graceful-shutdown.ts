import type { Clock } from '../../base/clock.ts';
import { Http2ErrorCode } from './errors.ts';
import { frame, FrameType, goAwayFrame, MAX_WINDOW } from './frames.ts';

const DRAINING = Buffer.from('draining', 'latin1');
/** How long a client that is told of the end has to answer. */
const DRAIN_MS = 1000;

export interface GracefulShutdownOptions {
  readonly clock: Clock;
  /** Server: highest stream id that the client has used. */
  readonly lastPeer: () => number;
  /** Never throws. */
  readonly send: (frame: Buffer) => void;
  /** The client has been told which stream was the last. */
  readonly onLast: () => void;
}

/**
 * Whether new streams may begin on a connection, and how a server says that none may while those under way go
 * on (RFC 9113 section 6.8): first a warning, then, when the client has seen it, the last id.
 */
export class GracefulShutdown {
  readonly #options: GracefulShutdownOptions;
  #begun = false;
  #last = false;

  constructor(options: GracefulShutdownOptions) {
    this.#options = options;
  }

  /** No new streams: the peer has said so, or we have. */
  get last(): boolean {
    return this.#last;
  }

  /** From now on no new streams; nothing is said. */
  stop(): void {
    this.#last = true;
  }

  /** Server: warns the client, once. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    const { send, clock } = this.#options;
    send(goAwayFrame(MAX_WINDOW, Http2ErrorCode.NO_ERROR, 'shutting down'));
    // Its answer says that the client has seen the warning: what it sent before has arrived then.
    send(frame(FrameType.PING, 0, 0, DRAINING));
    // A client that answers no PING has had the time that its requests need to arrive.
    clock.after(DRAIN_MS, () => this.#sayLast(), { unref: true });
  }

  /** A PING has been answered. */
  answered(payload: Buffer): void {
    if (this.#begun && payload.equals(DRAINING)) this.#sayLast();
  }

  #sayLast(): void {
    if (this.#last) return;
    const { send, lastPeer, onLast } = this.#options;
    send(goAwayFrame(lastPeer(), Http2ErrorCode.NO_ERROR, 'shutting down'));
    this.#last = true;
    onLast();
  }
}
