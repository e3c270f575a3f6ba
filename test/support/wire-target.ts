import { once } from 'node:events';
import net from 'node:net';

/** A connection that has come to a target, with all that has been said on it. */
export class Heard {
  readonly socket: net.Socket;
  /** The other side sends no more. */
  ended = false;
  closed = false;
  /** How it broke, if it did. */
  errno: string | undefined;
  /** Requests that `answering` has answered. */
  answered = 0;
  #received: Buffer[] = [];

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#received.push(chunk));
    socket.on('end', () => (this.ended = true));
    socket.on('error', ({ code }: NodeJS.ErrnoException) => (this.errno = code));
    socket.on('close', () => (this.closed = true));
  }

  get text(): string {
    if (this.#received.length > 1) this.#received = [Buffer.concat(this.#received)];
    return this.#received[0]?.toString('latin1') ?? '';
  }

  forget(): void {
    this.#received = [];
    this.answered = 0;
  }

  say(...pieces: readonly string[]): void {
    for (const piece of pieces) if (this.socket.writable) this.socket.write(Buffer.from(piece, 'latin1'));
  }
}

/**
 * A target of which the test decides every byte, and that keeps every byte it is sent: what a gateway
 * forwards is judged here.
 */
export class WireTarget {
  readonly port: number;
  readonly connections: Heard[] = [];
  readonly #server: net.Server;

  private constructor(server: net.Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /**
   * @param onConnection what it does with a connection; `onText` is called with all that has come whenever
   * more does
   */
  static async start(
    onText: (connection: Heard, text: string) => void = () => undefined,
    onConnection: (connection: Heard) => void = () => undefined,
  ): Promise<WireTarget> {
    const server = net.createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const target = new WireTarget(server, (server.address() as net.AddressInfo).port);
    server.on('connection', (socket) => {
      const heard = new Heard(socket);
      target.connections.push(heard);
      socket.on('data', () => onText(heard, heard.text));
      onConnection(heard);
    });
    return target;
  }

  /** Everything that has come, on all connections. */
  get text(): string {
    return this.connections.map(({ text }) => text).join('');
  }

  /** Forgets what has come; connections that are open stay, the gateway may use them again. */
  forget(): void {
    const open = this.connections.filter(({ closed }) => !closed);
    for (const connection of open) connection.forget();
    this.connections.splice(0, Infinity, ...open);
  }

  /** Ends all connections and takes no more. */
  async close(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, 'close');
  }
}

/**
 * Answers each request whose head has come, once.
 * @param answer text of the whole response, by request target
 */
export function answering(
  answer: (path: string, connection: Heard) => string,
): (connection: Heard, text: string) => void {
  return (connection, text) => {
    const lines = [...text.matchAll(/^[A-Z]+ (\S+) HTTP\/1\.[01]\r\n[^]*?\r\n\r\n/gm)];
    const before = connection.answered;
    connection.answered = lines.length;
    for (const [, path = ''] of lines.slice(before)) connection.say(answer(path, connection));
  };
}
