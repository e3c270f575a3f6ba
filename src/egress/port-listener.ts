import net from 'node:net';
import { formatAddress, type SocketAddress } from '../base/address.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { LinkspanError, messageOf } from '../base/errors.ts';
import type { Accounts } from '../proxy/accounts.ts';
import { Connection, type ConnectionHandler } from '../proxy/connection.ts';
import type { SessionProtocol } from '../proxy/transport-header.ts';
import { detectProtocol } from './detect.ts';

export interface PortListenerOptions {
  readonly address: SocketAddress;
  readonly accounts: Accounts;
  readonly clock: Clock;
  /** A client's first bytes decide; one that says nothing for so long waits for the server to speak first. Default 500 ms. */
  readonly detectTimeoutMs?: number;
  /** Known protocol of what connects here; looked at on each connection otherwise. */
  readonly protocol: () => SessionProtocol | undefined;
  readonly onArrival: (client: Connection, protocol: SessionProtocol, first: Buffer) => void;
}

/** One port of the egress: plain TCP from clients that know nothing of any of this. */
export class PortListener {
  readonly #options: PortListenerOptions;
  readonly #connections = new Set<Connection>();
  readonly #server: net.Server;

  constructor(options: PortListenerOptions) {
    this.#options = options;
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#admit(socket));
  }

  get size(): number {
    return this.#connections.size;
  }

  /** @throws LinkspanError PORT_IN_USE */
  listen(): Promise<void> {
    const { address } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) =>
        reject(
          new LinkspanError(
            'PORT_IN_USE',
            `cannot listen on ${formatAddress(address)}: ${messageOf(error)}`,
            { cause: error },
          ),
        ),
      );
      this.#server.listen(address.port, address.host, resolve);
    });
  }

  /** Takes no more connections; flows under way go on. */
  stopAccepting(): void {
    this.#server.close();
  }

  destroy(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  #admit(socket: net.Socket): void {
    const { accounts, protocol, onArrival } = this.#options;
    const connection = new Connection(socket);
    this.#connections.add(connection);
    accounts.client.opened++;
    accounts.client.open++;
    socket.once('close', () => {
      this.#connections.delete(connection);
      accounts.client.open--;
      accounts.client.readBytes += connection.bytesRead;
      accounts.client.writtenBytes += connection.bytesWritten;
    });
    const known = protocol();
    if (known === undefined) connection.handler = new Detection(this.#options, connection);
    else onArrival(connection, known, Buffer.alloc(0));
  }
}

/** Looks at the first bytes of one connection. */
class Detection implements ConnectionHandler {
  readonly #options: PortListenerOptions;
  readonly #timer: Timer;
  #seen: Buffer = Buffer.alloc(0);

  constructor(options: PortListenerOptions, connection: Connection) {
    this.#options = options;
    this.#timer = options.clock.after(options.detectTimeoutMs ?? 500, () =>
      this.#decide(connection, 'opaque'),
    );
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
    this.#options.onArrival(connection, protocol, this.#seen);
    if (ended) connection.handler.onEnd(connection);
  }
}
