import type net from 'node:net';
import type { RawHttp2 } from './raw-http2.ts';
import type { WireClient } from './wire-client.ts';

/**
 * Requests over HTTP/1, one after another on one connection for as long as the other side lets us: for tests
 * of many requests, of which handshakes would be most of the work.
 */
export class KeptHttp1 {
  readonly #open: () => Promise<WireClient<net.Socket>>;
  #client: WireClient<net.Socket> | undefined;
  #connections = 0;
  #cut = 0;

  /** @param open a connection that is ready for a request */
  constructor(open: () => Promise<WireClient<net.Socket>>) {
    this.#open = open;
  }

  /** How many connections it has needed. */
  get connections(): number {
    return this.#connections;
  }

  /** Answers that had begun, and ended with their connection before they were all there. */
  get cut(): number {
    return this.#cut;
  }

  /**
   * Sends a request, and waits until its answer is all there or the connection is over.
   * @returns the answer, as it came
   */
  async ask(request: string): Promise<string> {
    const kept = this.#client;
    const client = kept ?? (await this.#open());
    if (kept === undefined) this.#connections++;
    client.forget();
    client.send(request);
    await client.holds('an answer', () => client.over || isWhole(client.text));
    this.#client = client.over ? undefined : client;
    if (client.over && client.text !== '' && !isWhole(client.text)) this.#cut++;
    if (client.over) client.socket.destroy();
    // It had ended when we sent.
    return client === kept && client.text === '' ? this.ask(request) : client.text;
  }

  close(): void {
    this.#client?.socket.destroy();
  }
}

/**
 * Whether an answer is all there, behind what came before it; one without a length, or the last one, ends
 * with its connection.
 */
function isWhole(said: string): boolean {
  const answer = said.replace(/^(?:HTTP\/1\.1 1\d\d [^]*?\r\n\r\n)+/, '');
  const end = answer.indexOf('\r\n\r\n') + 4;
  const head = answer.slice(0, end);
  if (end < 4 || /^connection: close\r$/im.test(head)) return false;
  if (/^transfer-encoding: chunked\r$/im.test(head)) return /\r\n0\r\n(?:[^\r\n]+\r\n)*\r\n$/.test(answer);
  const length = /^content-length: (\d+)\r$/im.exec(head)?.[1];
  return length !== undefined && answer.length >= end + Number(length);
}

/** The same over HTTP/2: each request is a stream of its own. */
export class KeptHttp2 {
  readonly #open: () => Promise<RawHttp2>;
  #client: RawHttp2 | undefined;
  #stream = -1;

  /** @param open a connection on which no stream has been opened */
  constructor(open: () => Promise<RawHttp2>) {
    this.#open = open;
  }

  /**
   * Sends a request as a stream, and waits for its answer or the end of the connection.
   * @param over what is heard when the answer is there, by stream; default: its head, or a reset
   */
  async ask(
    send: (client: RawHttp2, stream: number) => void,
    over: (stream: number) => RegExp = (stream) => new RegExp(`^(HEADERS|RST) ${stream} |^GOAWAY`),
  ): Promise<void> {
    if (this.#client === undefined || this.#client.closed || leaves(this.#client)) {
      this.close();
      this.#client = await this.#open();
      this.#stream = -1;
    }
    this.#stream += 2;
    const client = this.#client;
    send(client, this.#stream);
    await client.hears(over(this.#stream)).catch((error: unknown) => {
      if (!client.closed) throw error;
    });
  }

  close(): void {
    this.#client?.socket.destroy();
  }
}

function leaves({ heard }: RawHttp2): boolean {
  return heard.some((line) => line.startsWith('GOAWAY'));
}
