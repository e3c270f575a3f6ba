import { isAuthority } from '../http/authority.ts';
import {
  About,
  connectionOptions,
  Field,
  fieldName,
  isBlank,
  isTooLongToRead,
  signsConnection,
  trailerFields,
} from '../http/fields.ts';
import { CHUNKED, type Framing, NO_BODY } from '../http/messages.ts';

/**
 * Why a message's head, or its chunked framing, is refused. HTTP/1 is parsed strictly here (RFC 9112):
 * whatever could be read in two ways is refused, because a proxy that guesses lets requests be smuggled past
 * it.
 */
export class HeadError extends Error {
  override readonly name = 'HeadError';
}

export type { Field } from '../http/fields.ts';

/** A parsed request head. */
export interface RequestHead {
  readonly method: string;
  /** As the request line has it: a path, an absolute URI, `*`, or an authority. */
  readonly target: string;
  /** 0 for HTTP/1.0, 1 for HTTP/1.1. */
  readonly minor: 0 | 1;
  readonly fields: readonly Field[];
  /** The same fields as a section, which a later head of the same text shares, and what was made of them. */
  readonly section: FieldSection;
  readonly framing: Framing;
  /** Whether the connection may carry another request after this one. */
  readonly keepAlive: boolean;
  /** Protocols of an `Upgrade` that the client asks for, and that we pass on; see `upgradeOf`. */
  readonly upgrade: string | undefined;
}

/** A parsed response head; as `RequestHead`. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;
  readonly fields: readonly Field[];
  readonly section: FieldSection;
  readonly framing: Framing;
  readonly keepAlive: boolean;
}

/** Longest head in bytes, start line and blank line included. */
export const MAX_HEAD = 64 * 1024;
/** Most fields of a request or a trailer section. */
const MAX_FIELDS = 200;
/**
 * Most fields of a response: an application may set very many cookies. Their memory is bounded by `MAX_HEAD`.
 */
const MAX_RESPONSE_FIELDS = 2000;

const UNTIL_CLOSE: Framing = { kind: 'until close' };
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Visible characters, blanks and obs-text; no control characters, so no bare CR or LF. */
// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const EMPTY = Buffer.alloc(0);
const BLANK_LINE = Buffer.from('\r\n\r\n', 'latin1');

/**
 * Where the head in `bytes` ends (behind its blank line), or -1 while it is incomplete.
 * @throws HeadError when it is too long
 */
export function headEnd(bytes: Buffer): number {
  const at = bytes.indexOf(BLANK_LINE);
  if (at >= 0 && at + 4 <= MAX_HEAD) return at + 4;
  if (bytes.length >= MAX_HEAD) throw new HeadError(`the head is longer than ${MAX_HEAD} bytes`);
  return -1;
}

/** The fields of a head, and what they say about the message. */
export class FieldSection {
  readonly fields: readonly Field[];
  /** Options of the Connection field, in lower case. */
  readonly options: ReadonlySet<string>;
  /** As `RequestHead.upgrade`. */
  readonly upgrade: string | undefined;
  /** See `signsConnection` in `http/fields.ts`. */
  readonly signsConnection: boolean;
  /** Whether there is a field of a trace's context. */
  readonly traced: boolean;
  /**
   * The lines that `render.ts` made of it last, to be used again where the same is wanted: `by` is the
   * `HeadRules` for a request, the status for a response.
   */
  rendered: { readonly by: unknown; readonly text: string } | undefined;
  readonly #length: number | undefined;
  readonly #coding: string | undefined;

  /** @param text the lines behind the first, without the last line end @throws HeadError */
  constructor(text: string, maxFields = MAX_FIELDS) {
    const fields = parseFields(text === '' ? [] : text.split('\r\n'), maxFields);
    this.fields = fields;
    const bits = bitsOf(fields);
    this.traced = (bits & About.TRACE) !== 0;
    this.options = connectionOptions(fields);
    this.upgrade = this.options.has('upgrade') ? upgradeOf(fields) : undefined;
    this.signsConnection = (bits & About.SIGN_IN) !== 0 && signsConnection(fields);
    this.#length = contentLength(fields);
    this.#coding = transferCoding(fields);
  }

  /**
   * What Transfer-Encoding or Content-Length say about the body; undefined when there is neither.
   * @throws HeadError
   */
  framing(minor: 0 | 1): Framing | undefined {
    const length = this.#length;
    const coding = this.#coding;
    if (coding === undefined) return length === undefined ? undefined : bodyOfLength(length);
    if (minor === 0) throw new HeadError('HTTP/1.0 has no Transfer-Encoding');
    if (length !== undefined) throw new HeadError('there are both Transfer-Encoding and Content-Length');
    if (coding !== 'chunked') throw new HeadError(`the transfer coding "${coding}" is not chunked`);
    return CHUNKED;
  }

  /** Whether the connection may carry another message (RFC 9112 section 9.3). */
  keepsAlive(minor: 0 | 1): boolean {
    return !this.options.has('close') && (minor === 1 || this.options.has('keep-alive'));
  }
}

/**
 * Remembers a connection's last head: the next one often is the same (a client that asks again and again), or
 * differs in its first line only.
 */
export class HeadMemory<Head extends RequestHead | ResponseHead> {
  #whole = '';
  #method = '';
  #head: Head | undefined;
  /**
   * Behind the first line, beside the whole: `===` compares it at once, and the end of a longer text
   * character by character (0.04 and 1 µs for 400). It costs a few bytes: it is a slice of a text that the
   * values of the fields hold on to anyway.
   */
  #text = '';
  #section: FieldSection | undefined;

  /**
   * The last head, where the text is the same.
   * @param method of the request that a response answers: it says whether there is a body
   */
  known(whole: string, method = ''): Head | undefined {
    return whole === this.#whole && method === this.#method ? this.#head : undefined;
  }

  /** @returns the head */
  keep(head: Head, whole: string, method = ''): Head {
    // A very long one hardly comes again, and would be held for as long as the connection.
    const kept = whole.length <= MAX_REMEMBERED;
    this.#whole = kept ? whole : '';
    this.#method = method;
    this.#head = kept ? head : undefined;
    return head;
  }

  /** The section of a head's text; the same object where the last one had the same text. @throws HeadError */
  section(text: string, maxFields = MAX_FIELDS): FieldSection {
    if (this.#section !== undefined && text === this.#text) return this.#section;
    const section = new FieldSection(text, maxFields);
    const kept = text.length <= MAX_REMEMBERED;
    this.#text = kept ? text : '';
    this.#section = kept ? section : undefined;
    return section;
  }
}

const MAX_REMEMBERED = 4096;

/** The bytes behind a head that ends at `end`. */
export function behind(bytes: Buffer, end: number): Buffer {
  return end === bytes.length ? EMPTY : bytes.subarray(end);
}

/** @param bytes begin with a whole head, blank line included, which ends at `end` @throws HeadError */
export function parseRequestHead(
  bytes: Buffer,
  end = bytes.length,
  memory = new HeadMemory<RequestHead>(),
): RequestHead {
  const text = bytes.toString('latin1', 0, end - 4);
  const known = memory.known(text);
  if (known !== undefined) return known;
  const match = REQUEST_LINE.exec(firstLine(text));
  if (match === null) throw new HeadError('the request line is malformed');
  const [, method = '', target = '', minorText] = match;
  const minor = minorText === '1' ? 1 : 0;
  const section = memory.section(otherLines(text));
  const { fields } = section;
  checkHost(fields);
  const head: RequestHead = {
    method,
    target,
    minor,
    fields,
    section,
    framing: section.framing(minor) ?? NO_BODY,
    keepAlive: section.keepsAlive(minor),
    upgrade: minor === 1 ? section.upgrade : undefined,
  };
  return memory.keep(head, text);
}

function firstLine(text: string): string {
  const end = text.indexOf('\r\n');
  return end < 0 ? text : text.slice(0, end);
}

function otherLines(text: string): string {
  const end = text.indexOf('\r\n');
  return end < 0 ? '' : text.slice(end + 2);
}

/** An empty Host says that there is no authority (RFC 9112 section 3.2). */
function checkHost(fields: readonly Field[]): void {
  const host = only(fields, About.HOST, 'Host field')?.value ?? '';
  if (host !== '' && !isAuthority(host)) throw new HeadError('the Host is not valid');
}

/**
 * The protocols of the Upgrade fields; undefined where they are not passed on, because HTTP/2 (`h2c`) is
 * among them: through such a tunnel requests would reach the target that nobody has looked at, with whatever
 * identity they claim. A server may ignore an upgrade (RFC 9110 section 7.8), and linkerd2-proxy removes this
 * one, too.
 */
function upgradeOf(fields: readonly Field[]): string | undefined {
  const asked = fields.filter(({ about }) => about.bits & About.UPGRADE).map(({ value }) => value);
  const protocols = asked.join(', ');
  return protocols === '' || /(?:^|[ ,\t])h2c?(?:$|[ ,\t/])/i.test(protocols) ? undefined : protocols;
}

/**
 * @param bytes begin with a whole head, blank line included, which ends at `end`
 * @param method of the request that it answers: a response to HEAD has no body
 * @throws HeadError
 */
export function parseResponseHead(
  bytes: Buffer,
  method: string,
  end = bytes.length,
  memory = new HeadMemory<ResponseHead>(),
): ResponseHead {
  const text = bytes.toString('latin1', 0, end - 4);
  const known = memory.known(text, method);
  if (known !== undefined) return known;
  const match = STATUS_LINE.exec(firstLine(text));
  if (match === null) throw new HeadError('the status line is malformed');
  const minor = match[1] === '1' ? 1 : 0;
  const status = Number(match[2]);
  const section = memory.section(otherLines(text), MAX_RESPONSE_FIELDS);
  // Checked even where there is no body: contradictory lengths are a sign of an attack.
  const announced = section.framing(minor);
  const framing = hasBody(status, method) ? (announced ?? UNTIL_CLOSE) : NO_BODY;
  const keepAlive = section.keepsAlive(minor) && framing.kind !== 'until close';
  const reason = match[3] ?? '';
  const head = { status, reason, minor, fields: section.fields, section, framing, keepAlive } as const;
  return memory.keep(head, text, method);
}

function hasBody(status: number, method: string): boolean {
  return method !== 'HEAD' && status >= 200 && status !== 204 && status !== 304;
}

function bodyOfLength(length: number): Framing {
  return length === 0 ? NO_BODY : { kind: 'length', length };
}

function parseFields(lines: readonly string[], max = MAX_FIELDS): Field[] {
  if (lines.length > max) throw new HeadError(`there are more than ${max} header fields`);
  return lines.map((line) => {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0));
    // A line that begins with a blank (obs-fold) and a blank before the colon fail here too.
    if (!TOKEN.test(name)) throw new HeadError('a header field has no valid name');
    const value = line.slice(colon + 1);
    if (!VALUE.test(value))
      throw new HeadError(`the value of the header field ${name} has a forbidden character`);
    const about = fieldName(name.toLowerCase());
    if (isTooLongToRead(about, value)) throw new HeadError(`the header field ${name} is too long`);
    return new Field(name, trimmed(value), about);
  });
}

/** Without the blanks around it. */
function trimmed(value: string): string {
  let from = 0;
  let to = value.length;
  while (from < to && isBlank(value.charCodeAt(from))) from++;
  while (to > from && isBlank(value.charCodeAt(to - 1))) to--;
  return value.slice(from, to);
}

/**
 * The fields of a trailer section that are passed on.
 * @param text lines with their line ends
 * @throws HeadError
 */
export function parseTrailers(text: string): Field[] {
  const lines = text.split('\r\n').filter((line) => line !== '');
  return trailerFields(parseFields(lines));
}

/** What the names of all fields mean, together. */
function bitsOf(fields: readonly Field[]): number {
  let bits = 0;
  for (const { about } of fields) bits |= about.bits;
  return bits;
}

function contentLength(fields: readonly Field[]): number | undefined {
  const first = only(fields, About.LENGTH, 'Content-Length');
  if (first === undefined) return undefined;
  const length = Number(first.value);
  if (!/^\d{1,16}$/.test(first.value) || !Number.isSafeInteger(length))
    throw new HeadError('the Content-Length is no length');
  return length;
}

/** The one transfer coding, in lower case; undefined when there is none. */
function transferCoding(fields: readonly Field[]): string | undefined {
  return only(fields, About.CODING, 'Transfer-Encoding')?.value.toLowerCase();
}

function only(fields: readonly Field[], bit: number, name: string): Field | undefined {
  let found: Field | undefined;
  for (const field of fields) {
    if ((field.about.bits & bit) === 0) continue;
    if (found !== undefined) throw new HeadError(`there is more than one ${name}`);
    found = field;
  }
  return found;
}
