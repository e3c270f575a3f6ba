import type { Clock, Timer } from '../base/clock.ts';
import type { Connection, ConnectionHandler } from './connection.ts';
import type { SessionProtocol } from './transport-header.ts';

const HTTP2_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const REQUEST_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32} [\x21-\x7e\x80-\xff]+ HTTP\/1\.[01]\r?\n/;
const REQUEST_START = /^[A-Z]{1,32}( ([\x21-\x7e\x80-\xff]*( (H(T(T(P(\/(1(\.([01]\r?)?)?)?)?)?)?)?)?)?)?)?$/;
/** A request line may be long; what has not shown itself as HTTP by then is not taken for it. */
const MAX_LOOK = 8 * 1024;

/** What the first bytes of a connection say it is; undefined while they could still become HTTP. Pure. */
export function detectProtocol(first: Buffer): SessionProtocol | undefined {
  const text = first.toString('latin1', 0, MAX_LOOK);
  if (text.startsWith(HTTP2_PREFACE)) return 'http2';
  if (REQUEST_LINE.test(text)) return 'http1';
  if (first.length >= MAX_LOOK) return 'opaque';
  return HTTP2_PREFACE.startsWith(text) || REQUEST_START.test(text) ? undefined : 'opaque';
}

export interface DetectionOptions {
  readonly clock: Clock;
  /** A client that says nothing for so long is taken for one that waits for the server to speak. */
  readonly timeoutMs: number;
  /** @param first what has been read */
  readonly onDetected: (connection: Connection, protocol: SessionProtocol, first: Buffer) => void;
}

/** Looks at the first bytes of one connection. */
export class Detection implements ConnectionHandler {
  readonly #options: DetectionOptions;
  readonly #timer: Timer;
  #seen: Buffer = Buffer.alloc(0);

  constructor(connection: Connection, options: DetectionOptions) {
    this.#options = options;
    this.#timer = options.clock.after(options.timeoutMs, () => this.#decide(connection, 'opaque'));
  }

  onData(connection: Connection, chunk: Buffer): void {
    this.#seen = this.#seen.length === 0 ? chunk : Buffer.concat([this.#seen, chunk]);
    const protocol = detectProtocol(this.#seen);
    if (protocol !== undefined) this.#decide(connection, protocol);
  }

  onEnd(connection: Connection): void {
    // It sends no more, but what it sent may be a whole (raw) request.
    if (this.#seen.length === 0) connection.end();
    else this.#decide(connection, 'opaque', true);
  }

  onDrain(): void {
    // Nothing has been sent.
  }

  onClose(): void {
    this.#timer.cancel();
  }

  #decide(connection: Connection, protocol: SessionProtocol, ended = false): void {
    this.#timer.cancel();
    this.#options.onDetected(connection, protocol, this.#seen);
    if (ended) connection.handler.onEnd(connection);
  }
}
