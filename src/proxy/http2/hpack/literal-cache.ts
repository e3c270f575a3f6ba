import type { Field, FieldName } from '../../http/fields.ts';

interface Entry {
  readonly field: Field;
  readonly coded: boolean;
  readonly bytes: Buffer;
}

/**
 * Literal fields that have been decoded and found well-formed, by their bytes: paths of gRPC methods, tokens
 * and the like come again and again without being put into a connection's table. Each slot holds one field,
 * the last one that hashed to it.
 */
export class LiteralCache {
  readonly #entries: (Entry | undefined)[];
  readonly #maxBytes: number;

  /**
   * @param slots how many fields are kept; a power of two
   * @param maxBytes length on the wire; longer values are not kept
   */
  constructor(slots: number, maxBytes: number) {
    this.#entries = Array.from({ length: slots });
    this.#maxBytes = maxBytes;
  }

  /**
   * The field of that name whose value is in `bytes[start, end)`; undefined: it is not in the cache.
   * @param coded whether the value is Huffman coded
   * @param sensitive whether it is a literal that is never to be indexed
   */
  // oxlint-disable-next-line max-params -- asked for each literal field; an object would be the costliest part of it
  get(
    about: FieldName,
    coded: boolean,
    sensitive: boolean,
    bytes: Buffer,
    start: number,
    end: number,
  ): Field | undefined {
    const length = end - start;
    if (length > this.#maxBytes) return undefined;
    const entry = this.#entries[this.#slotOf(about, bytes, start, end)];
    if (entry === undefined || entry.bytes.length !== length || entry.coded !== coded) return undefined;
    const { field } = entry;
    if (field.about !== about || field.sensitive !== sensitive) return undefined;
    return same(entry.bytes, bytes, start, end) ? field : undefined;
  }

  /** Keeps a field whose value was in `bytes[start, end)`. */
  put(field: Field, coded: boolean, bytes: Buffer, start: number, end: number): void {
    if (end - start > this.#maxBytes) return;
    // A copy of its own: a view would hold the whole read that it came in.
    const copy = Buffer.allocUnsafeSlow(end - start);
    bytes.copy(copy, 0, start, end);
    this.#entries[this.#slotOf(field.about, bytes, start, end)] = { field, coded, bytes: copy };
  }

  /**
   * A hash of the value's length and last 12 bytes and the name's flags; fields that agree in it share a
   * slot.
   */
  #slotOf(about: FieldName, bytes: Buffer, start: number, end: number): number {
    let hash = 0x811c9dc5 ^ (end - start) ^ about.bits;
    const from = Math.max(start, end - 12);
    for (let at = from; at < end; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
    return (hash ^ (hash >>> 15)) & (this.#entries.length - 1);
  }
}

/** Up to this many bytes, a loop compares faster than `Buffer.compare`. */
const SHORT = 32;

function same(kept: Buffer, bytes: Buffer, start: number, end: number): boolean {
  const { length } = kept;
  if (length > SHORT) return kept.compare(bytes, start, end) === 0;
  for (let at = 0; at < length; at++) if (kept[at] !== bytes[start + at]) return false;
  return true;
}

/** The cache of all connections, for fields that are no secret. */
export const plainLiterals = new LiteralCache(4096, 96);

/**
 * A cache for the secrets of one connection: shared by all, its timing would tell a client whether another
 * has sent the value that it tries.
 */
export function secretLiterals(): LiteralCache {
  return new LiteralCache(4, 2048);
}
