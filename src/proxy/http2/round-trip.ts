import type { Clock } from '../../base/clock.ts';
import { frame, FrameType } from './frames.ts';

const PAYLOAD = Buffer.from('linkrtt0', 'latin1');
/**
 * A PING whose answer says how long a round trip takes; other than `KeepAlive`'s, so that its answer is told.
 */
const PING = frame(FrameType.PING, 0, 0, PAYLOAD);
/** What each new time counts in the mean, as in TCP's (RFC 6298). */
const GAIN = 1 / 8;

/** How long round trips to a peer have taken, milliseconds. */
export interface RoundTripTimes {
  /** The least: what the way itself takes, as neither side was late. */
  readonly leastMs: number;
  /** The mean, of which the latest count most. */
  readonly meanMs: number;
}

/** A connection that a PING can be sent on. */
interface Pinged {
  control(bytes: Buffer): void;
}

/**
 * Measures round trips to one peer by PINGs on its connections, one at a time on each. What this process and
 * the peer take to read is part of it.
 */
export class RoundTrip {
  readonly #clock: Clock;
  /** When each PING that is not answered was sent (monotonic milliseconds). */
  readonly #asked = new Map<Pinged, number>();
  #times: RoundTripTimes | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Undefined: nothing has been answered yet. */
  get times(): RoundTripTimes | undefined {
    return this.#times;
  }

  /** Sends a PING, unless the last one on this connection is not answered yet. */
  ask(connection: Pinged): void {
    if (this.#asked.has(connection)) return;
    this.#asked.set(connection, this.#clock.monotonic());
    connection.control(PING);
  }

  /** A PING was answered, maybe somebody else's. */
  answered(connection: Pinged, payload: Buffer): void {
    const at = this.#asked.get(connection);
    if (at === undefined || !payload.equals(PAYLOAD)) return;
    this.#asked.delete(connection);
    const ms = this.#clock.monotonic() - at;
    const { leastMs, meanMs } = this.#times ?? { leastMs: ms, meanMs: ms };
    this.#times = { leastMs: Math.min(leastMs, ms), meanMs: meanMs + GAIN * (ms - meanMs) };
  }

  /** A connection is gone. */
  forget(connection: Pinged): void {
    this.#asked.delete(connection);
  }
}
