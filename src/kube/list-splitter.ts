import { GatheredBytes } from '../base/gathered-bytes.ts';
import { LinkspanError } from '../base/errors.ts';
import { MAX_OBJECT_BYTES, MAX_OBJECT_DEPTH, MAX_OBJECT_VALUES, tooLarge } from './answer-limits.ts';
import { JsonStructure } from './json-structure.ts';

const ITEMS = Buffer.from('"items"');
/** Depth inside the list of items: the answer itself is one. */
const IN_ITEMS = 2;
/** Bytes around the items: kind, version, metadata. */
const MAX_ENVELOPE = 64 * 1024;

/**
 * Cuts the answer to a list into its objects while it arrives, so that a page is never in memory as a whole: each object is parsed, reduced to what is kept of
 * it, and forgotten. Bytes, values and depth of one object are limited before it is parsed.
 */
export class ListSplitter {
  readonly #what: string;
  readonly #onItem: (item: unknown) => void;
  readonly #structure = new JsonStructure();
  readonly #envelope = new GatheredBytes();
  readonly #item = new GatheredBytes();
  #inItems = false;
  /** Whether an object of the list is open. */
  #inItem = false;
  #valuesBefore = 0;

  /**
   * @param what the request, for messages
   * @param onItem called with each object, parsed
   */
  constructor(what: string, onItem: (item: unknown) => void) {
    this.#what = what;
    this.#onItem = onItem;
  }

  /** @throws LinkspanError KUBE_ANSWER_TOO_LARGE, KUBE_GARBLED; and whatever `onItem` throws */
  write(chunk: Buffer): void {
    const structure = this.#structure;
    /** Where begins what has not been put anywhere yet. */
    let start = 0;
    for (let at = structure.next(chunk, 0); at !== -1; at = structure.next(chunk, at + 1)) {
      if (structure.depth > MAX_OBJECT_DEPTH) throw this.#garbled('it is nested too deep');
      if (this.#inItem) start = this.#within(chunk, start, at);
      else if (this.#inItems) start = this.#between(chunk, start, at);
      else start = this.#around(chunk, start, at);
    }
    const rest = chunk.subarray(start);
    if (this.#inItem) this.#addItem(rest);
    else if (this.#inItems) this.#mustBeBlank(rest, 0, rest.length);
    else this.#addEnvelope(rest);
  }

  /** Outside of the list. @returns where begins what is still to be put somewhere */
  #around(chunk: Buffer, start: number, at: number): number {
    if (this.#structure.depth !== IN_ITEMS || chunk[at] !== 0x5b) return start;
    this.#addEnvelope(chunk.subarray(start, at + 1));
    this.#inItems = endsWithItems(this.#envelope.bytes);
    return at + 1;
  }

  /** In the list, before an object, after one, or at the end. */
  #between(chunk: Buffer, start: number, at: number): number {
    const { depth, values } = this.#structure;
    this.#mustBeBlank(chunk, start, at);
    if (depth === IN_ITEMS) return at + 1;
    if (depth < IN_ITEMS) this.#inItems = false;
    else {
      this.#inItem = true;
      this.#valuesBefore = values;
    }
    return at;
  }

  /** In an object of the list. */
  #within(chunk: Buffer, start: number, at: number): number {
    const { depth, values } = this.#structure;
    if (values - this.#valuesBefore > MAX_OBJECT_VALUES) throw this.#tooManyValues();
    if (depth !== IN_ITEMS) return start;
    this.#endItem(chunk.subarray(start, at + 1));
    return at + 1;
  }

  #mustBeBlank(chunk: Buffer, from: number, end: number): void {
    if (!isBlank(chunk, from, end)) throw this.#garbled('an element of its list is no object');
  }

  /** What stands around the items, as text of a JSON object whose list is empty. */
  end(): string {
    return this.#envelope.bytes.toString('utf8');
  }

  #addEnvelope(bytes: Uint8Array): void {
    this.#envelope.add(bytes);
    const used = this.#envelope.length;
    if (used > MAX_ENVELOPE)
      throw tooLarge(this.#what, 'object', `more than ${MAX_ENVELOPE} bytes around the objects of the list`, {
        used,
        of: MAX_ENVELOPE,
      });
  }

  #addItem(bytes: Uint8Array): void {
    const used = this.#item.length + bytes.length;
    if (used > MAX_OBJECT_BYTES)
      throw tooLarge(this.#what, 'object', `an object of more than ${MAX_OBJECT_BYTES} bytes`, {
        used,
        of: MAX_OBJECT_BYTES,
      });
    this.#item.add(bytes);
  }

  #endItem(last: Buffer): void {
    this.#inItem = false;
    let bytes = last;
    if (this.#item.length > 0 || last.length > MAX_OBJECT_BYTES) {
      this.#addItem(last);
      ({ bytes } = this.#item);
    }
    const text = bytes.toString('utf8');
    const isObject = bytes[0] === 0x7b;
    this.#item.clear();
    if (!isObject) throw this.#garbled('an element of its list is no object');
    let item: unknown;
    try {
      item = JSON.parse(text);
    } catch (error) {
      throw this.#garbled(`an object of its list is not JSON`, error);
    }
    this.#onItem(item);
  }

  #tooManyValues(): LinkspanError {
    return tooLarge(this.#what, 'object', `an object of more than ${MAX_OBJECT_VALUES} values`, {
      used: MAX_OBJECT_VALUES + 1,
      of: MAX_OBJECT_VALUES,
    });
  }

  #garbled(why: string, cause?: unknown): LinkspanError {
    return new LinkspanError('KUBE_GARBLED', `${this.#what}: ${why}`, { cause });
  }
}

/** Whether text that ends with `[` ends with `"items":[`. */
function endsWithItems(text: Buffer): boolean {
  let end = blanksBefore(text, text.length - 1);
  if (text[end - 1] !== 0x3a) return false;
  end = blanksBefore(text, end - 1);
  const start = end - ITEMS.length;
  // A backslash before would make the quote a part of a longer name.
  return start > 0 && text.subarray(start, end).equals(ITEMS) && text[start - 1] !== 0x5c;
}

function blanksBefore(text: Buffer, from: number): number {
  let end = from;
  while (end > 0 && isBlankByte(text[end - 1])) end--;
  return end;
}

function isBlank(bytes: Uint8Array, from: number, end: number): boolean {
  for (let at = from; at < end; at++) if (!isBlankByte(bytes[at])) return false;
  return true;
}

function isBlankByte(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
