import type { Clock } from '../../base/clock.ts';
import { Http2ErrorCode } from './errors.ts';
import { frame, FrameType, goAwayFrame, MAX_WINDOW } from './frames.ts';

const DRAINING = Buffer.from('draining', 'latin1');
/** How long a client that was warned has to answer the PING. */
const DRAIN_MS = 1000;

/** The connection that is shut down. */
export interface GracefulShutdownOptions {
  readonly clock: Clock;
  /** Server: highest stream id that the client has used. */
  readonly lastPeer: () => number;
  /** Never throws. */
  readonly send: (frame: Buffer) => void;
  /** Server: the client has been told which stream is the last. */
  readonly onLast: () => void;
}

/**
 * Whether new streams may begin on a connection, and how a server says that none may while those under way go
 * on (RFC 9113 section 6.8): a first GOAWAY warns the client, and when the client has seen it, a second one
 * names the last stream.
 */
export class GracefulShutdown {
  readonly #options: GracefulShutdownOptions;
  #begun = false;
  #closing = false;

  constructor(options: GracefulShutdownOptions) {
    this.#options = options;
  }

  /** Whether no new streams may begin: the peer has said so, or we have. */
  get closing(): boolean {
    return this.#closing;
  }

  /** From now on no new streams may begin; the peer is told nothing. */
  stop(): void {
    this.#closing = true;
  }

  /** Server: warns the client, once; until it has seen that, it may still begin streams. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    const { send, clock } = this.#options;
    send(goAwayFrame(MAX_WINDOW, Http2ErrorCode.NO_ERROR, 'shutting down'));
    // By its answer the client has seen the warning, and everything that it sent before has arrived.
    send(frame(FrameType.PING, 0, 0, DRAINING));
    // Where the client does not answer, its requests have had this long to arrive.
    clock.after(DRAIN_MS, () => this.#nameLast(), { unref: true });
  }

  /** A PING of ours has been answered. */
  answered(payload: Buffer): void {
    if (this.#begun && payload.equals(DRAINING)) this.#nameLast();
  }

  #nameLast(): void {
    if (this.#closing) return;
    const { send, lastPeer, onLast } = this.#options;
    send(goAwayFrame(lastPeer(), Http2ErrorCode.NO_ERROR, 'shutting down'));
    this.#closing = true;
    onLast();
  }
}
