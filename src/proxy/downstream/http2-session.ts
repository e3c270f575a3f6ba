import { ProxyFailure } from '../http/failures.ts';
import type { Field } from '../http/fields.ts';
import type { Flow, Session } from './session.ts';
import { Http2Connection } from '../http2/http2-connection.ts';
import type { Http2User } from '../http2/http2-options.ts';
import type { OpenFlow } from './access-log.ts';
import { Http2Exchange, requestsOf } from './http2-exchange.ts';
import { statusField } from '../http2/message.ts';
import type { Http2Stream } from '../http2/stream.ts';

/** An HTTP/2 connection of a client. Each of its streams is balanced on its own. */
export class Http2Session implements Http2User<Http2Connection>, Flow {
  readonly #session: Session;
  readonly #connection: Http2Connection;

  constructor(session: Session) {
    this.#session = session;
    this.#connection = new Http2Connection(session.client, {
      role: 'server',
      clock: session.clock,
      user: this,
      boundary: session.counters,
      streamWindow: 256 * 1024,
      connectionWindow: 4 * 1024 * 1024,
      ...(session.plainClient === true ? { keepAliveMs: 'off' as const } : {}),
    });
  }

  /** @param first bytes that have been read already */
  start(first: Buffer): void {
    this.#connection.start(first);
    if (this.#session.draining()) this.drain();
  }

  drain(): void {
    this.#connection.goAway();
  }

  underWay(): Iterable<OpenFlow> {
    return requestsOf(this.#connection);
  }

  recheck(): void {
    // Each request is checked when it comes.
  }

  onRequest(stream: Http2Stream, fields: readonly Field[], ended: boolean): void {
    new Http2Exchange(this.#session, stream).begin(fields, ended);
  }

  onTooLarge(stream: Http2Stream): void {
    this.#session.counters.failure('bad request', this.#session.target.label);
    stream.head([statusField(431)], true);
  }

  onStreamClosed(): void {
    // Its exchange hears of it from the stream.
  }

  onGoAway(): void {
    // The client opens no more streams; those under way go on.
  }

  onClosed(_: Http2Connection, error: Error | undefined): void {
    const { counters, target } = this.#session;
    if (error instanceof ProxyFailure) counters.failure(error.kind, target.label);
  }
}
