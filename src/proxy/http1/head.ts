import { type Field, trailerFields } from '../field.ts';

/**
 * HTTP/1 message heads, parsed strictly (RFC 9112). Whatever could be read in two ways is refused: a proxy that guesses lets requests be smuggled past it.
 */
export class HeadError extends Error {
  override readonly name = 'HeadError';
}

/** How a message's body ends (RFC 9112 section 6.3). */
export type Framing =
  | { readonly kind: 'none' | 'chunked' | 'until close' }
  | { readonly kind: 'length'; readonly length: number };

export type { Field } from '../field.ts';

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  /** 0 for HTTP/1.0, 1 for HTTP/1.1. */
  readonly minor: 0 | 1;
  readonly fields: readonly Field[];
  readonly framing: Framing;
  /** The connection may carry another request after this one. */
  readonly keepAlive: boolean;
  /** Protocol of an `Upgrade` that the client asks for. */
  readonly upgrade: string | undefined;
}

export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;
  readonly fields: readonly Field[];
  readonly framing: Framing;
  readonly keepAlive: boolean;
}

/** Longest head, start line and blank line included. */
export const MAX_HEAD = 64 * 1024;
const MAX_FIELDS = 200;
/** Interim responses to one request: more are an endless stream, not hints. */
export const MAX_INTERIM = 32;

const NO_BODY: Framing = { kind: 'none' };
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Visible characters, blanks and obs-text; no control characters, so no bare CR or LF. */
// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const BLANK_LINE = Buffer.from('\r\n\r\n', 'latin1');

/** Where the head in `bytes` ends (behind its blank line), or -1 while it is incomplete. @throws HeadError when it is too long */
export function headEnd(bytes: Buffer): number {
  const at = bytes.indexOf(BLANK_LINE);
  if (at >= 0 && at + 4 <= MAX_HEAD) return at + 4;
  if (bytes.length >= MAX_HEAD) throw new HeadError(`the head is longer than ${MAX_HEAD} bytes`);
  return -1;
}

/** @param bytes a whole head, blank line included @throws HeadError */
export function parseRequestHead(bytes: Buffer): RequestHead {
  const [line = '', ...lines] = linesOf(bytes);
  const match = REQUEST_LINE.exec(line);
  if (match === null) throw new HeadError('the request line is malformed');
  const [, method = '', target = '', minorText] = match;
  const minor = minorText === '1' ? 1 : 0;
  const fields = parseFields(lines);
  if (fields.filter(({ lower }) => lower === 'host').length > 1)
    throw new HeadError('there is more than one Host field');
  const options = connectionOptions(fields);
  const upgrade = minor === 1 && options.has('upgrade') ? upgradeOf(fields) : undefined;
  const framing = announcedFraming(fields, minor) ?? NO_BODY;
  return { method, target, minor, fields, framing, keepAlive: keepsAlive(options, minor), upgrade };
}

/**
 * The protocol that is asked for. HTTP/2 is not: inside such a tunnel requests would reach the target that nobody has looked at, with whatever identity they claim. Upgrades are requests
 * that a server may ignore (RFC 9110 section 7.8); linkerd2-proxy takes this one away, too.
 */
function upgradeOf(fields: readonly Field[]): string | undefined {
  const asked = fields.filter(({ lower }) => lower === 'upgrade').map(({ value }) => value);
  const protocols = asked.join(', ');
  return protocols === '' || /(?:^|[ ,\t])h2c?(?:$|[ ,\t/])/i.test(protocols) ? undefined : protocols;
}

/** @param method of the request that it answers: HEAD and 204, 304, 1xx have no body @throws HeadError */
export function parseResponseHead(bytes: Buffer, method: string): ResponseHead {
  const [line = '', ...lines] = linesOf(bytes);
  const match = STATUS_LINE.exec(line);
  if (match === null) throw new HeadError('the status line is malformed');
  const minor = match[1] === '1' ? 1 : 0;
  const status = Number(match[2]);
  const fields = parseFields(lines);
  const framing = responseFraming(status, method, fields, minor);
  const options = connectionOptions(fields);
  const keepAlive = keepsAlive(options, minor) && framing.kind !== 'until close';
  return { status, reason: match[3] ?? '', minor, fields, framing, keepAlive };
}

function responseFraming(status: number, method: string, fields: readonly Field[], minor: 0 | 1): Framing {
  // Checked even where there is no body: contradictory lengths are a sign of somebody's tricks.
  const announced = announcedFraming(fields, minor);
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return NO_BODY;
  return announced ?? { kind: 'until close' };
}

/** What Transfer-Encoding or Content-Length say about the body; undefined when there is neither. */
function announcedFraming(fields: readonly Field[], minor: 0 | 1): Framing | undefined {
  const length = contentLength(fields);
  const coding = transferCoding(fields, minor);
  if (coding === undefined) return length === undefined ? undefined : bodyOfLength(length);
  if (length !== undefined) throw new HeadError('there are both Transfer-Encoding and Content-Length');
  if (coding !== 'chunked') throw new HeadError(`the transfer coding "${coding}" is not chunked`);
  return { kind: 'chunked' };
}

function bodyOfLength(length: number): Framing {
  return length === 0 ? NO_BODY : { kind: 'length', length };
}

function linesOf(bytes: Buffer): string[] {
  const text = bytes.toString('latin1', 0, bytes.length - 4);
  return text.split('\r\n');
}

function parseFields(lines: readonly string[]): Field[] {
  if (lines.length > MAX_FIELDS) throw new HeadError(`there are more than ${MAX_FIELDS} header fields`);
  return lines.map((line) => {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0));
    // A line that begins with a blank (obs-fold) and a blank before the colon fail here too.
    if (!TOKEN.test(name)) throw new HeadError('a header field has no valid name');
    const value = line.slice(colon + 1);
    if (!VALUE.test(value))
      throw new HeadError(`the value of the header field ${name} has a forbidden character`);
    return { name, lower: name.toLowerCase(), value: value.replace(/^[\t ]+|[\t ]+$/g, '') };
  });
}

/** @param text trailer lines with their line ends @throws HeadError */
export function parseTrailers(text: string): Field[] {
  const lines = text.split('\r\n').filter((line) => line !== '');
  return trailerFields(parseFields(lines));
}

function contentLength(fields: readonly Field[]): number | undefined {
  const found = fields.filter(({ lower }) => lower === 'content-length');
  const [first] = found;
  if (first === undefined) return undefined;
  if (found.length > 1) throw new HeadError('there is more than one Content-Length');
  const length = Number(first.value);
  if (!/^\d{1,16}$/.test(first.value) || !Number.isSafeInteger(length))
    throw new HeadError('the Content-Length is no length');
  return length;
}

/** The one transfer coding, in lower case; undefined when there is none. */
function transferCoding(fields: readonly Field[], minor: 0 | 1): string | undefined {
  const found = fields.filter(({ lower }) => lower === 'transfer-encoding');
  const [first] = found;
  if (first === undefined) return undefined;
  if (found.length > 1) throw new HeadError('there is more than one Transfer-Encoding');
  if (minor === 0) throw new HeadError('HTTP/1.0 has no Transfer-Encoding');
  return first.value.toLowerCase();
}

/** The options of the Connection field, in lower case. */
export function connectionOptions(fields: readonly Field[]): ReadonlySet<string> {
  const options = fields
    .filter(({ lower }) => lower === 'connection' || lower === 'proxy-connection')
    .flatMap(({ value }) => value.toLowerCase().split(','));
  return new Set(options.map((option) => option.trim()));
}

function keepsAlive(options: ReadonlySet<string>, minor: 0 | 1): boolean {
  return !options.has('close') && (minor === 1 || options.has('keep-alive'));
}
