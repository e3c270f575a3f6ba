import { once } from 'node:events';
import net from 'node:net';
import { ServiceClient } from './service-client.ts';

/**
 * A client without a mesh: it connects to the egress' port of a service, and knows nothing of any of this.
 */
export class PlainClient extends ServiceClient {
  readonly #ports: ReadonlyMap<string, number>;
  readonly #sockets = new Set<net.Socket>();
  readonly #from: string;

  /**
   * @param ports of the egress, by service (`name:port`)
   * @param from its own address, on the loopback
   */
  constructor(ports: ReadonlyMap<string, number>, from = '127.0.0.1') {
    super();
    this.#ports = ports;
    this.#from = from;
  }

  /** The egress' port of a service. */
  portOf(name: string, port = 80): number {
    const listening = this.#ports.get(`${name}:${port}`);
    if (listening === undefined) throw new Error(`the egress has no port for ${name}:${port}`);
    return listening;
  }

  override async connect(name: string, port = 80): Promise<net.Socket> {
    const socket = net.connect({
      host: '127.0.0.1',
      port: this.portOf(name, port),
      localAddress: this.#from,
      allowHalfOpen: true,
    });
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    await once(socket, 'connect');
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    return socket;
  }

  override close(): void {
    super.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
