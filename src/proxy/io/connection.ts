import type { Boundary } from '../http/failure-boundary.ts';
import type { ProxyFailure } from '../http/failures.ts';
import type { WriteBuffer } from './write-buffer.ts';

/**
 * What a connection tells whoever uses it now. One object serves for many connections and requests: no
 * closure per request.
 */
export interface ConnectionHandler {
  onData(connection: Connection, chunk: Buffer): void;
  /** The peer sends no more (half-close). */
  onEnd(connection: Connection): void;
  /** What was held back has been sent; `send` may go on. */
  onDrain(connection: Connection): void;
  /** Nothing comes or goes any more. */
  onClose(connection: Connection, error: Error | undefined): void;
  /**
   * Nothing new is to begin on the connection, as `Connection.retire` says; what cannot be told so has no
   * such method.
   */
  onRetire?(connection: Connection): void;
  /**
   * The handler itself threw, on what one of its connections told: it ends what it carries with this failure.
   * Who has no such method loses the connection.
   */
  onCaught?(connection: Connection, failure: ProxyFailure): void;
}

/** The handler of a connection threw: it ends what it carries, or the connection is broken. Never throws. */
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

/** Hears nothing. */
export const NOBODY: ConnectionHandler = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** @param errno such as `ECONNRESET` */
export type CloseListener = (errno: string | undefined) => void;

/**
 * A byte connection, as narrow as the data path needs: no stream is piped, large chunks go through as they
 * came. A socket of its own, or a stream of a shared one.
 */
export interface Connection {
  handler: ConnectionHandler;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /**
   * Who is told of the end besides the handler, whoever that is by then; at once where it has ended.
   * @param listener hears the code of the error that the socket ended with, if it did
   */
  whenClosed(listener: CloseListener): void;
  readonly closed: boolean;
  /** Nothing new is to begin here: it has grown old, or its peer is not trusted any more. */
  readonly retired: boolean;
  readonly remoteAddress: string;
  /**
   * Opened in the name of one client: nothing of another's may travel on it. Absent: of nobody's in
   * particular.
   */
  readonly personal?: boolean;
  /** Bytes that wait because the peer reads slowly, or for the end of the turn. */
  readonly buffered: number;
  /** The peer has not read what it was sent before: an `onDrain` will come. */
  readonly blocked: boolean;
  /** Sends. False means: the peer is slow, stop reading from where this came until `onDrain`. */
  send(chunk: Buffer): boolean;
  /** Sends text, one byte per character. @returns as `send` */
  sendText(text: string): boolean;
  /**
   * Room to write into, so that nothing has to be copied: at `at` of its `bytes`. `sent` says how much was
   * written.
   * @param bytes at most `MAX_ROOM`
   */
  room(bytes: number): WriteBuffer;
  /** So many bytes have been written into the `room`. @returns as `send` */
  sent(bytes: number): boolean;
  /**
   * Whether what was written at that place of a `room` may still be changed. Only of what was written last:
   * memory that was given on is used again, and the same place of it holds something else then.
   */
  isUnsent(writeBuffer: WriteBuffer, at: number): boolean;
  /** Gives everything on now. */
  flush(): void;
  pause(): void;
  resume(): void;
  /** What the peer wants this connection for stands. A stream says so to the peer; on a socket it shows. */
  established(): void;
  /**
   * Sends what is waiting, then says that no more comes; the other direction stays open.
   * @param onSent called when the peer's kernel, or ours, has all of it
   */
  end(onSent?: () => void): void;
  /** Asks whoever uses it to begin nothing new on it, and to end it when what is under way is done. */
  retire(): void;
  /** Ends both directions at once. */
  destroy(error?: Error): void;
  /** Ends both directions at once, in a way that the peer cannot take for a proper end. */
  abort(error?: Error): void;
}
