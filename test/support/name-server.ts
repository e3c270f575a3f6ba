import dgram from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, isIPv4 } from 'node:net';
import { addressBytes } from '../../src/base/ip-ranges.ts';

export type QueryType = 'A' | 'AAAA';

/** What is said to one query: addresses (those of its type are sent), an error, or nothing at all. */
export type Said =
  | { readonly addresses: readonly string[]; readonly ttl?: number }
  | 'NXDOMAIN'
  | 'SERVFAIL'
  | 'silent';

const TYPES: Readonly<Record<number, QueryType>> = { 1: 'A', 28: 'AAAA' };
const RCODES = { NXDOMAIN: 3, SERVFAIL: 2 } as const;
const HEADER_BYTES = 12;
const DEFAULT_TTL = 60;
/** Response, recursion desired and available (RFC 1035 4.1.1). */
const RESPONSE = 0x8180;
/** A pointer to the name at offset 12, that of the question. */
const QUESTION_NAME = 0xc00c;

/**
 * A name server on a loopback address that says what a test tells it to, and keeps what it was asked. UDP
 * only.
 */
export class NameServer {
  /** Every query so far: `A gw.example.test`. */
  readonly queries: string[] = [];
  readonly #socket = dgram.createSocket('udp4');
  readonly #answer: (name: string, type: QueryType) => Said;

  private constructor(answer: (name: string, type: QueryType) => Said) {
    this.#answer = answer;
    this.#socket.on('message', (query, from) => {
      const reply = this.#reply(query);
      if (reply !== undefined) this.#socket.send(reply, from.port, from.address);
    });
  }

  static async start(answer: (name: string, type: QueryType) => Said): Promise<NameServer> {
    const server = new NameServer(answer);
    server.#socket.bind(0, '127.0.0.1');
    await once(server.#socket, 'listening');
    return server;
  }

  /** As `Resolver.setServers` takes it. */
  get address(): string {
    return `127.0.0.1:${(this.#socket.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#socket.close();
    await once(this.#socket, 'close');
  }

  #reply(query: Buffer): Buffer | undefined {
    const labels: string[] = [];
    let at = HEADER_BYTES;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const name = labels.join('.').toLowerCase();
    const type = TYPES[query.readUInt16BE(at + 1)];
    if (type === undefined) return undefined;
    this.queries.push(`${type} ${name}`);
    const said = this.#answer(name, type);
    if (said === 'silent') return undefined;
    const question = query.subarray(HEADER_BYTES, at + 5);
    const records =
      typeof said === 'string'
        ? []
        : said.addresses
            .filter((one) => isIPv4(one) === (type === 'A'))
            .map((one) => record(type, one, said.ttl));
    const header = Buffer.alloc(HEADER_BYTES);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(RESPONSE | (typeof said === 'string' ? RCODES[said] : 0), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    return Buffer.concat([header, question, ...records]);
  }
}

function record(type: QueryType, address: string, ttl = DEFAULT_TTL): Buffer {
  const bytes = addressBytes(address);
  if (bytes === undefined) throw new Error(`${address} is no address`);
  const data = type === 'A' ? bytes.subarray(12) : bytes;
  const head = Buffer.alloc(12);
  head.writeUInt16BE(QUESTION_NAME, 0);
  head.writeUInt16BE(type === 'A' ? 1 : 28, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}
