import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from './free-port.ts';

/** Where a way leads. */
export interface WayEnd {
  readonly host: string;
  readonly port: number;
}

/**
 * A way over TCP that can be shut, so that whoever goes by it finds nobody there while the other end knows of
 * nothing: other tests may use it meanwhile.
 */
export class TcpWay {
  readonly host: string;
  readonly port: number;
  readonly #to: WayEnd;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  private constructor(host: string, port: number, to: WayEnd) {
    this.host = host;
    this.port = port;
    this.#to = to;
  }

  /** @param host where it begins; default: at the same host, whose certificate is good for it then */
  static async to(end: WayEnd, host = end.host): Promise<TcpWay> {
    const way = new TcpWay(host, await freePort(), end);
    await way.open();
    return way;
  }

  open(): Promise<void> {
    const server = createServer((socket) => {
      const onward = connect(this.#to.port, this.#to.host);
      for (const one of [socket, onward]) {
        this.#sockets.add(one);
        one.on('error', () => one.destroy());
        one.on('close', () => {
          this.#sockets.delete(one);
          (one === socket ? onward : socket).destroy();
        });
      }
      socket.pipe(onward).pipe(socket);
    });
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, this.host, resolve);
    });
  }

  shut(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
