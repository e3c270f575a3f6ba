import { once } from 'node:events';
import net from 'node:net';
import { Duplex } from 'node:stream';
import type tls from 'node:tls';
import { eventually } from './eventually.ts';

/** A client that decides about every byte, and sees every byte that comes. */
export class WireClient<S extends net.Socket = tls.TLSSocket> {
  readonly socket: S;
  /** The peer sends no more. */
  ended = false;
  closed = false;
  #received: Buffer[] = [];

  constructor(socket: S) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#received.push(chunk));
    socket.on('end', () => (this.ended = true));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.closed = true));
  }

  /** Everything that has come, one character per byte. */
  get text(): string {
    return this.bytes.toString('latin1');
  }

  get bytes(): Buffer {
    if (this.#received.length > 1) this.#received = [Buffer.concat(this.#received)];
    return this.#received[0] ?? Buffer.alloc(0);
  }

  /** What has come until now is not looked at any more. */
  forget(): void {
    this.#received = [];
  }

  /** Nothing more comes. */
  get over(): boolean {
    return this.ended || this.closed;
  }

  send(...pieces: readonly (string | Uint8Array)[]): this {
    for (const piece of pieces)
      if (this.socket.writable)
        this.socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
    return this;
  }

  /** Sends a piece and lets it travel on its own before the next one. */
  async sendAlone(piece: string | Uint8Array): Promise<void> {
    if (!this.socket.writable) return;
    const bytes = typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece;
    await new Promise<void>((resolve) => this.socket.write(bytes, () => resolve()));
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** Sends no more, but reads on. */
  end(): this {
    this.socket.end();
    return this;
  }

  /** Waits until what has come matches. */
  async hears(pattern: RegExp): Promise<string> {
    await this.holds(String(pattern), () => pattern.test(this.text));
    return this.text;
  }

  /** Waits until a piece of text has come so many times. */
  async hearsTimes(piece: string, count: number): Promise<string> {
    await this.holds(`${count} times ${piece}`, () => this.text.split(piece).length > count);
    return this.text;
  }

  /** Waits until the peer has ended the connection, however. @returns all that came */
  async whole(): Promise<string> {
    await this.holds('the connection ends', () => this.over);
    this.socket.destroy();
    return this.text;
  }

  /** Waits until something is so that changes with what comes. */
  async holds(what: string, holds: () => boolean): Promise<void> {
    try {
      await eventually(what, holds, {
        timeoutMs: 5000,
        source: this.socket,
        events: ['data', 'end', 'close'],
      });
    } catch (error) {
      const tail = JSON.stringify(this.text.slice(-300));
      throw new Error(`${what}: not so; ended ${this.ended}, closed ${this.closed}, came: ${tail}`, {
        cause: error,
      });
    }
  }
}

const RECORD_HEADER = 5;
/** An alert inside TLS 1.3 with AEAD tag and inner type: 2 + 1 + 16 bytes. */
const ALERT_LENGTH = 19;

/** The way between a client and the gateway, seen from outside: which TLS records pass. */
export class Tap extends Duplex {
  readonly #socket: net.Socket;
  #left = Buffer.alloc(0);
  /** Length of the last record that came from the peer. */
  last = 0;
  /** Bytes after it, of a record that never became whole. */
  get partial(): number {
    return this.#left.length;
  }

  /** The last word was TLS's closing alert: the end is one that the peer meant. */
  get endedProperly(): boolean {
    return this.last === ALERT_LENGTH && this.partial === 0;
  }

  private constructor(socket: net.Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#look(chunk);
      this.push(chunk);
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  static async connect(port: number): Promise<Tap> {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    return new Tap(socket);
  }

  /** Breaks the connection off. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  #look(chunk: Buffer): void {
    let rest = Buffer.concat([this.#left, chunk]);
    while (rest.length >= RECORD_HEADER && rest.length >= RECORD_HEADER + rest.readUInt16BE(3)) {
      this.last = rest.readUInt16BE(3);
      rest = rest.subarray(RECORD_HEADER + this.last);
    }
    this.#left = rest;
  }

  override _read(): void {
    // Comes as it comes.
  }

  override _write(chunk: Buffer, _: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#socket.write(chunk, callback);
  }

  override _final(callback: () => void): void {
    this.#socket.end(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }
}
