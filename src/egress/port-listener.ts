import { listenOn } from '../base/listen.ts';
import net from 'node:net';
import type { SocketAddress } from '../base/address.ts';
import type { ProxyCounters } from '../proxy/metrics/counters.ts';
import { type Connection, endCarried } from '../proxy/io/connection.ts';
import { SocketConnection } from '../proxy/io/socket-connection.ts';

/** A port, and who takes its connections. */
export interface PortListenerOptions {
  readonly address: SocketAddress;
  readonly counters: ProxyCounters;
  /** Called when it takes no more connections and the last one has closed. */
  readonly onLeft: () => void;
  readonly onConnection: (client: Connection) => void;
}

/** One listening port of the egress, for plain TCP. */
export class PortListener {
  readonly #options: PortListenerOptions;
  readonly #connections = new Set<Connection>();
  readonly #server: net.Server;
  #stopped = false;

  constructor(options: PortListenerOptions) {
    this.#options = options;
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#admit(socket));
  }

  /** Number of open connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** @throws LinkspanError of `listenOn` */
  listen(): Promise<void> {
    return listenOn(this.#server, this.#options.address);
  }

  /** Takes no more connections; existing flows go on. */
  stopAccepting(): void {
    this.#server.close();
    this.#stopped = true;
    if (this.size === 0) this.#options.onLeft();
  }

  /** Cuts all connections. */
  destroy(): void {
    for (const connection of this.#connections) connection.abort();
  }

  #admit(socket: net.Socket): void {
    const { counters, onConnection } = this.#options;
    const connection = new SocketConnection(socket, counters);
    this.#connections.add(connection);
    counters.client.follow(connection);
    connection.whenClosed(() => {
      this.#connections.delete(connection);
      if (this.#stopped && this.size === 0) this.#options.onLeft();
    });
    try {
      onConnection(connection);
    } catch (error) {
      endCarried(connection, counters, counters.caught(error));
    }
  }
}
