import { gzipped, inTurns, nextTurn, type Pieces, SharedPieces } from './pieces.ts';

/**
 * What slow readers of earlier answers than the last one may have waiting, bytes: somebody who reads nothing
 * costs a whole answer, and could ask for any number of them.
 */
const MAX_HELD = 16 * 1024 * 1024;

/**
 * A page that costs something to make, and can be long. It is made while it is sent, and the event loop gets
 * its turns. Only one is made at a time: who comes meanwhile waits for the next one, which all share who have
 * asked the same.
 */
export class SharedPage {
  readonly #type: string;
  readonly #begin: (query: string) => () => Promise<Pieces>;
  /** Those that nothing has been read for, which others may join; by what was asked. */
  readonly #coming = new Map<string, Making>();
  /** The one that was asked for last. */
  #last: Making | undefined;
  /** Those that have all been made, and that somebody has not taken; the last one first. */
  #untaken: readonly Making[] = [];

  /** @param begin when it is first asked for; what it gives makes the body, when it is its turn */
  constructor(type: string, begin: (query: string) => () => Promise<Pieces>) {
    this.#type = type;
    this.#begin = begin;
  }

  /** @throws what making it throws */
  async answer(
    { method, acceptEncoding }: { readonly method: string; readonly acceptEncoding: string },
    query = '',
  ): Promise<SharedAnswer> {
    const packed = acceptsGzip(acceptEncoding);
    const type = { 'content-type': this.#type, vary: 'accept, accept-encoding' };
    const headers = packed ? { ...type, 'content-encoding': 'gzip' } : type;
    if (method === 'HEAD') return { status: 200, headers, body: inTurns([]) };
    const making = this.#coming.get(query) ?? this.#next(query);
    const body = making.reader(packed);
    await making.read;
    return { status: 200, headers, body };
  }

  #next(query: string): Making {
    const make = this.#begin(query);
    const last = this.#last;
    const making: Making = new Making(async () => {
      await last?.finish();
      if (last !== undefined) this.#hold(last);
      await nextTurn();
      this.#coming.delete(query);
      return make();
    });
    this.#coming.set(query, making);
    this.#last = making;
    return making;
  }

  /**
   * Holds what readers of the last one have not taken, and of those before it as much as there is room for.
   */
  #hold(last: Making): void {
    let held = 0;
    this.#untaken = [last, ...this.#untaken].filter((making) => {
      const { held: bytes } = making;
      held += bytes;
      if (making === last || held <= MAX_HELD) return bytes > 0;
      making.cut();
      return false;
    });
  }
}

/** An answer with 200. */
interface SharedAnswer {
  readonly status: 200;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Pieces;
}

/** The answer of one moment. */
class Making {
  /** When the numbers have been read. */
  readonly read: Promise<void>;
  readonly #plain: SharedPieces;
  #packed: SharedPieces | undefined;

  /** @param read gives the body of all numbers, once it may */
  constructor(read: () => Promise<Pieces>) {
    const body = read();
    this.read = body.then(() => undefined);
    this.#plain = new SharedPieces(whenRead(body));
  }

  /** One who joins, which has to be before the numbers are read. */
  reader(packed: boolean): Pieces {
    if (!packed) return this.#plain.reader();
    this.#packed ??= new SharedPieces(gzipped(this.#plain.reader()));
    return this.#packed.reader();
  }

  /** Makes all that somebody wants, however slowly it is taken. */
  async finish(): Promise<void> {
    await this.#plain.finish();
    await this.#packed?.finish();
  }

  /** As of `SharedPieces`. */
  get held(): number {
    return this.#plain.held + (this.#packed?.held ?? 0);
  }

  cut(): void {
    this.#plain.cut();
    this.#packed?.cut();
  }
}

async function* whenRead(body: Promise<Pieces>): AsyncGenerator<Buffer> {
  yield* await body;
}

/** Whether an `Accept-Encoding` takes gzip (RFC 9110 section 12.5.3). */
export function acceptsGzip(header: string): boolean {
  for (const part of header.toLowerCase().split(',')) {
    const [coding, ...parameters] = part.split(';').map((piece) => piece.trim());
    if (coding !== 'gzip' && coding !== '*') continue;
    return !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  }
  return false;
}
