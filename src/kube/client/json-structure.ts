const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const COMMA = 0x2c;

/** 1 for the bytes that are structure where they stand outside of strings. */
const STRUCTURE = new Uint8Array(256);
for (const byte of [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST, COMMA]) STRUCTURE[byte] = 1;

/**
 * Follows the structure of JSON text (RFC 8259), split anywhere, without building anything: how deep it is,
 * and how many values it has. Text of a few bytes for each value (`{},{},…`) takes twenty times its length
 * when it is parsed, so its values are counted before.
 */
export class JsonStructure {
  /** Objects and lists that are open. */
  depth = 0;
  /** The most that were open at a time. */
  deepest = 0;
  /** Values so far: never fewer than there are objects, lists and elements. */
  values = 0;
  #inString = false;
  #escaped = false;

  /**
   * Goes on to the next structural byte and takes it in.
   * @returns its index; -1 when the rest of the bytes has none
   */
  next(bytes: Uint8Array, from: number): number {
    return this.#scan(bytes, from, Number.POSITIVE_INFINITY);
  }

  /**
   * Takes bytes in until no more objects and lists are open than `depth`.
   * @returns the index of the structural byte with which that is so; -1 when the bytes end before
   */
  untilDepth(bytes: Uint8Array, from: number, depth: number): number {
    return this.#scan(bytes, from, depth);
  }

  /** Takes all of the bytes in. */
  take(bytes: Uint8Array): void {
    this.#scan(bytes, 0, Number.NEGATIVE_INFINITY);
  }

  /** Begins anew. */
  reset(): void {
    this.depth = 0;
    this.deepest = 0;
    this.values = 0;
    this.#inString = false;
    this.#escaped = false;
  }

  /**
   * One loop with its state in variables: lists are read when a controller starts, before V8 has compiled
   * anything, and a call for each byte of structure was a tenth of a restart.
   */
  #scan(bytes: Uint8Array, from: number, stopDepth: number): number {
    const end = bytes.length;
    let at = this.#inString ? this.#restOfString(bytes, from) : from;
    let { depth, deepest, values } = this;
    let found = -1;
    while (at < end) {
      const byte = bytes[at] as number;
      if (byte === QUOTE) {
        at = this.#restOfString(bytes, at + 1);
        continue;
      }
      if (STRUCTURE[byte] === 1) {
        if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth--;
        else {
          values++;
          if (byte !== COMMA && ++depth > deepest) deepest = depth;
        }
        if (depth <= stopDepth) {
          found = at;
          break;
        }
      }
      at++;
    }
    this.depth = depth;
    this.deepest = deepest;
    this.values = values;
    return found;
  }

  /** @returns where the string has ended, `end` where it goes on */
  #restOfString(bytes: Uint8Array, from: number): number {
    const end = bytes.length;
    let at = this.#escaped ? from + 1 : from;
    this.#escaped = false;
    for (; at < end; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        this.#inString = false;
        return at + 1;
      }
      if (byte === BACKSLASH) at++;
    }
    this.#inString = true;
    this.#escaped = at > end;
    return end;
  }
}
