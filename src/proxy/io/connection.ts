import type { Boundary } from '../http/failure-boundary.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { WriteBuffer } from './write-buffer.ts';

/**
 * Who uses a connection now, and hears what happens on it. One object serves for many connections and
 * requests, so that a request needs no closure of its own.
 */
export interface ConnectionHandler {
  onData(connection: Connection, chunk: Buffer): void;
  /** The peer sends no more (half-close). */
  onEnd(connection: Connection): void;
  /** The peer has read what was held back; `send` may go on. */
  onDrain(connection: Connection): void;
  /** Both directions have ended. @param error undefined: in order */
  onClose(connection: Connection, error: Error | undefined): void;
  /**
   * Nothing new is to begin on the connection (`Connection.retire`). Absent where there is no way to tell the
   * peer so: the connection is then left as it is.
   */
  onRetire?(connection: Connection): void;
  /**
   * One of the other methods threw: the handler ends what it carries with this failure. Absent: the
   * connection is aborted.
   */
  onCaught?(connection: Connection, failure: ProxyFailure): void;
}

/**
 * The handler of a connection threw: has it end what it carries (`onCaught`), or aborts the connection. Never
 * throws.
 */
export function endCarried(connection: Connection, boundary: Boundary, failure: ProxyFailure): void {
  try {
    const { handler } = connection;
    if (handler.onCaught === undefined) connection.abort(failure);
    else handler.onCaught(connection, failure);
  } catch (error) {
    boundary.caught(error);
    connection.abort(failure);
  }
}

/** Hears what becomes of a connection that was given out before its peer had taken it. */
export interface ConnectionOwner {
  /** The peer has taken it. */
  onTaken(): void;
  /**
   * The peer has refused it, and nothing that was sent on it has reached anybody: it is all sent again on
   * what takes its place. Never rejects.
   * @returns a connection on which it goes on; or why there is none
   */
  onRefused(failure: ProxyFailure): Promise<Connection | ProxyFailure>;
}

/** The handler of a connection that nobody uses. */
export const NOBODY: ConnectionHandler = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** @param errno such as `ECONNRESET` */
export type CloseListener = (errno: string | undefined) => void;

/**
 * A byte connection with no more than the data path needs: large chunks go through as they came, and nothing
 * is piped through Node's streams. It is a socket (`SocketConnection`) or a stream of a shared HTTP/2
 * connection (`StreamConnection`).
 */
export interface Connection {
  handler: ConnectionHandler;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /**
   * Calls `listener` when the connection has ended, beside the handler that it has by then; at once where it
   * has ended already.
   */
  whenClosed(listener: CloseListener): void;
  readonly closed: boolean;
  /** Whether nothing new is to begin on it: it has grown old, or its peer is not trusted any more. */
  readonly retired: boolean;
  readonly remoteAddress: string;
  /**
   * Whether it was opened in the name of one client, so that nothing of another's may travel on it. Absent:
   * in nobody's name.
   */
  readonly personal?: boolean;
  /**
   * Where the peer has not taken the connection yet: who hears of it, if anybody. Absent: it has been taken,
   * or nobody can tell.
   */
  owner?: ConnectionOwner | undefined;
  /**
   * To how many other gateways the peer could go with what it carries, where it has said so; absent: none.
   */
  readonly alternatives?: number;
  /** Bytes that wait because the peer reads slowly, or for the end of the event loop's turn. */
  readonly buffered: number;
  /** Whether the peer has not read what it was sent before; an `onDrain` will come. */
  readonly blocked: boolean;
  /** Sends. @returns false: the peer is slow; stop reading from where this came until `onDrain` */
  send(chunk: Buffer): boolean;
  /** Sends text, one byte per character. @returns as `send` */
  sendText(text: string): boolean;
  /**
   * A buffer to write into, at its `at`, so that nothing has to be copied. `sent` says how much was written.
   * @param bytes that it must have room for, at most `MAX_ROOM`
   */
  room(bytes: number): WriteBuffer;
  /** So many bytes have been written into the `room`. @returns as `send` */
  sent(bytes: number): boolean;
  /**
   * Whether what was written at offset `at` of a `room` is still here and may be changed. To be asked only
   * about what was written last: buffers are used again, so that the same offset may hold something else.
   */
  isUnsent(writeBuffer: WriteBuffer, at: number): boolean;
  /** Sends what was gathered in this turn now. */
  flush(): void;
  pause(): void;
  resume(): void;
  /**
   * What the peer opened this connection for has been set up (a tunnel has reached its endpoint). A tunnel of
   * stream mode then answers its peer; on a socket nothing is sent.
   */
  established(): void;
  /**
   * Sends what is waiting and then ends our direction (half-close); the other stays open.
   * @param onSent called when everything has left this process
   */
  end(onSent?: () => void): void;
  /** Asks the handler to begin nothing new on it, and to end it when what is under way is done. */
  retire(): void;
  /** Ends both directions at once. */
  destroy(error?: Error): void;
  /** Ends both directions at once by a reset, which the peer cannot take for the end of the data. */
  abort(error?: Error): void;
}
