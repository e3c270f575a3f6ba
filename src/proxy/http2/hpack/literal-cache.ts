import { About, type Field, type FieldName } from '../../field.ts';

/** Slots, a power of two. */
const SLOTS = 2048;
/** Longer values are not kept. */
const MAX_BYTES = 96;

interface Entry {
  readonly field: Field;
  readonly coded: boolean;
  readonly bytes: Buffer;
}

/**
 * Literal fields that have been decoded and found well-formed, by their bytes: paths of gRPC methods and the like come again and again, from all clients, without being put into a connection's
 * table. One for the process; what is secret is not kept. A slot holds what came last.
 */
class LiteralCache {
  readonly #entries: (Entry | undefined)[] = Array.from({ length: SLOTS });

  /** @param coded whether `bytes[start, end)` are Huffman code */
  get(about: FieldName, coded: boolean, bytes: Buffer, start: number, end: number): Field | undefined {
    if (end - start > MAX_BYTES) return undefined;
    const entry = this.#entries[slotOf(bytes, start, end)];
    if (entry === undefined || entry.field.about !== about || entry.coded !== coded) return undefined;
    const kept = entry.bytes;
    const { length } = kept;
    if (length !== end - start) return undefined;
    for (let at = 0; at < length; at++) if (kept[at] !== bytes[start + at]) return undefined;
    return entry.field;
  }

  put(field: Field, coded: boolean, bytes: Buffer, start: number, end: number): void {
    if (end - start > MAX_BYTES || field.sensitive || field.about.bits & About.SECRET) return;
    // A copy of its own: a view would hold the whole read that it came in.
    const copy = Buffer.from(bytes.subarray(start, end));
    this.#entries[slotOf(bytes, start, end)] = { field, coded, bytes: copy };
  }
}

export const literals = new LiteralCache();

/** FNV-1a. */
function slotOf(bytes: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  return (hash ^ (hash >>> 15)) & (SLOTS - 1);
}
