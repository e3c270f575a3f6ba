import { GatheredBytes } from '../../base/gathered-bytes.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { MAX_OBJECT_BYTES, MAX_OBJECT_DEPTH, MAX_OBJECT_VALUES, tooLarge } from './answer-limits.ts';
import { JsonStructure } from './json-structure.ts';

const ITEMS = Buffer.from('"items"');
/** Depth inside the list of items: the answer itself is one. */
const IN_ITEMS = 2;
/** Bytes around the items: kind, version, metadata. */
const MAX_ENVELOPE = 64 * 1024;

/**
 * Cuts the answer to a list into its objects while it arrives, so that a page is never in memory as a whole:
 * each object is parsed, reduced to what is kept of it, and forgotten. Bytes, values and depth of one object
 * are limited before it is parsed.
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
    const at = { envelope: 0, batch: this.#inItem ? 0 : -1, batchEnd: 0, item: 0, blank: 0 };
    for (let from = 0, next = 0; next !== -1; from = next + 1) {
      const inItem = this.#inItem;
      next = inItem ? structure.untilDepth(chunk, from, IN_ITEMS) : structure.next(chunk, from);
      if (structure.deepest > MAX_OBJECT_DEPTH) throw this.#garbled('it is nested too deep');
      if (inItem) this.#within(next, at);
      else if (next === -1) break;
      else if (this.#inItems) this.#between(chunk, next, at);
      else this.#around(chunk, next, at);
    }
    this.#parse(chunk, at);
    if (this.#inItem) this.#addItem(chunk.subarray(at.item));
    else if (this.#inItems) this.#mustBeBlank(chunk, at.blank, chunk.length);
    else this.#addEnvelope(chunk.subarray(at.envelope));
  }

  /** Outside of the list. */
  #around(chunk: Buffer, next: number, at: Places): void {
    if (this.#structure.depth !== IN_ITEMS || chunk[next] !== 0x5b) return;
    this.#addEnvelope(chunk.subarray(at.envelope, next + 1));
    at.envelope = next + 1;
    this.#inItems = endsWithItems(this.#envelope.bytes);
    at.blank = next + 1;
  }

  /** In the list, before an object, after one, or at the end. */
  #between(chunk: Buffer, next: number, at: Places): void {
    const { depth, values } = this.#structure;
    this.#mustBeBlank(chunk, at.blank, next);
    at.blank = next + 1;
    if (depth === IN_ITEMS) return;
    if (depth < IN_ITEMS) {
      this.#parse(chunk, at);
      this.#inItems = false;
      at.envelope = next;
      return;
    }
    if (chunk[next] !== 0x7b) throw this.#garbled('an element of its list is no object');
    this.#inItem = true;
    this.#valuesBefore = values;
    at.item = next;
    if (at.batch === -1) at.batch = next;
  }

  /** In an object of the list, or at its end; `next` is -1 where it goes on in the next piece. */
  #within(next: number, at: Places): void {
    if (this.#structure.values - this.#valuesBefore > MAX_OBJECT_VALUES) throw this.#tooManyValues();
    if (next === -1) return;
    this.#inItem = false;
    at.batchEnd = next + 1;
    at.blank = next + 1;
  }

  /**
   * Parses the objects that are complete, those of one piece together: V8 remembers the shape of the one
   * before, which halves the time.
   */
  #parse(chunk: Buffer, at: Places): void {
    if (at.batchEnd === 0) return;
    let bytes = chunk.subarray(at.batch, at.batchEnd);
    if (this.#item.length > 0) {
      this.#item.add(bytes);
      ({ bytes } = this.#item);
    }
    const text = `[${bytes.toString('utf8')}]`;
    this.#item.clear();
    at.batch = -1;
    at.batchEnd = 0;
    let items: unknown[];
    try {
      items = JSON.parse(text) as unknown[];
    } catch (error) {
      throw this.#garbled('an object of its list is not JSON', error);
    }
    for (const item of items) this.#onItem(item);
  }

  #mustBeBlank(chunk: Buffer, from: number, end: number): void {
    if (!isBlank(chunk, from, end)) throw this.#garbled('an element of its list is no object');
  }

  /** The text around the items, as a JSON object whose list is empty. */
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

/** Positions in a piece of what has not been handled yet. */
interface Places {
  envelope: number;
  /** The first of the objects that are parsed together; -1: there is none. */
  batch: number;
  /** Where the last complete one ends; 0: there is none. */
  batchEnd: number;
  /** The object that is open. */
  item: number;
  /** The start of text that must be blank. */
  blank: number;
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
