import { isAuthority } from '../http/authority.ts';
import { About, type Field, isTooLongToRead, makeField } from '../http/fields.ts';
import { CHUNKED, type Framing, NO_BODY, type HttpVersion } from '../http/messages.ts';

/** A request as read from its HTTP/2 header list. */
export interface Http2Request {
  readonly method: string;
  readonly path: string;
  readonly authority: string | undefined;
  /** What the client spoke; of a request that a proxy carried over HTTP/2, what it was before. */
  readonly version: HttpVersion;
  readonly fields: readonly Field[];
  readonly framing: Framing;
  /** Whether there is a field of a trace's context. */
  readonly traced: boolean;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PATH = /^(?:\/[\x21-\x7e\x80-\xff]*|\*)$/;
/** Collects what is used of a request's header list, in one pass. */
class RequestReader {
  method: string | undefined;
  scheme: string | undefined;
  path: string | undefined;
  authority: string | undefined;
  host: string | undefined;
  version: HttpVersion = 'HTTP/2';
  length: string | undefined;
  lengths = 0;
  /** What the names of all fields mean, together. */
  bits = 0;
  problem: string | undefined;
  readonly plain: Field[] = [];

  read(fields: readonly Field[]): string | undefined {
    for (const field of fields) {
      const { bits } = field.about;
      this.bits |= bits;
      if (bits & About.PSEUDO) {
        const problem = this.#pseudo(field);
        if (problem !== undefined) return problem;
        continue;
      }
      this.plain.push(field);
      if (bits & CHECKED) this.#check(field, bits);
    }
    return undefined;
  }

  #pseudo({ lower, value }: Field): string | undefined {
    if (this.plain.length > 0) return 'a pseudo-header stands behind a field';
    if (lower === ':path' && this.path === undefined) this.path = value;
    else if (lower === ':method' && this.method === undefined) this.method = value;
    else if (lower === ':authority' && this.authority === undefined) this.authority = value;
    else if (lower === ':scheme' && this.scheme === undefined) this.scheme = value;
    else return `there must not be a field ${lower} here`;
    return undefined;
  }

  #check({ lower, value, about }: Field, bits: number): void {
    if (isTooLongToRead(about, value)) this.problem ??= `the field ${lower} is too long`;
    if (bits & About.HTTP1 || (bits & About.TE && value !== 'trailers'))
      this.problem ??= `the field ${lower} is not allowed in HTTP/2`;
    if (bits & About.ORIG_PROTO) this.version = versionOf(value);
    if (bits & About.HOST) this.host ??= value;
    if (bits & About.LENGTH) {
      this.length ??= value;
      this.lengths++;
    }
  }
}

/** Fields that are forbidden in HTTP/2, or whose value is used here. */
const CHECKED = About.HTTP1 | About.TE | About.ORIG_PROTO | About.HOST | About.LENGTH | About.FORWARDED;

/**
 * Reads a request.
 * @param ended whether it has no body
 * @returns why it is malformed, where it is (RFC 9113 section 8.3.1)
 */
export function readRequest(fields: readonly Field[], ended: boolean): Http2Request | string {
  const reader = new RequestReader();
  const problem =
    reader.read(fields) ?? pseudoProblem(reader) ?? reader.problem ?? lengthProblem(reader, ended);
  if (problem !== undefined) return problem;
  const { method = '', path = '', version, plain, length, bits } = reader;
  return {
    method,
    path,
    authority: reader.authority ?? reader.host,
    version,
    fields: plain,
    framing: framingOf(length, ended),
    traced: (bits & About.TRACE) !== 0,
  };
}

function versionOf(origProto: string): HttpVersion {
  return origProto.startsWith('HTTP/1.0') ? 'HTTP/1.0' : 'HTTP/1.1';
}

function pseudoProblem({
  method = '',
  scheme,
  path = '',
  authority,
  host,
}: RequestReader): string | undefined {
  if (!isMethod(method)) return 'there is no valid method';
  if (method === 'CONNECT') return 'CONNECT is not served';
  if (scheme === undefined) return 'there is no scheme';
  if (!PATH.test(path) || (path === '*' && method !== 'OPTIONS')) return 'there is no valid path';
  return authorityProblem(authority, host);
}

function authorityProblem(authority: string | undefined, host: string | undefined): string | undefined {
  if (authority !== undefined) return isAuthority(authority) ? undefined : 'the authority is not valid';
  // An empty Host says that there is no authority (RFC 9112 section 3.2).
  return host === undefined || host === '' || isAuthority(host) ? undefined : 'the Host is not valid';
}

function isMethod(text: string): boolean {
  return text === 'GET' || text === 'POST' || TOKEN.test(text);
}

/**
 * What is wrong with the Content-Length: an HTTP/1 target would believe it, and one that is not the body's
 * would let requests be smuggled past us.
 */
function lengthProblem({ length, lengths }: RequestReader, ended: boolean): string | undefined {
  if (length === undefined) return undefined;
  if (lengths > 1) return 'there is more than one Content-Length';
  if (!/^\d{1,15}$/.test(length)) return 'the Content-Length is no length';
  return ended && Number(length) > 0 ? 'the body is shorter than its Content-Length' : undefined;
}

function framingOf(length: string | undefined, ended: boolean): Framing {
  if (ended) return NO_BODY;
  // The connection refuses a body whose bytes do not add up to it.
  return length === undefined ? CHUNKED : { kind: 'length', length: Number(length) };
}

/** The response's status; undefined when its header list is malformed (RFC 9113 section 8.3.2). */
export function readStatus(fields: readonly Field[]): number | undefined {
  const first = fields[0];
  if (first === undefined || first.lower !== ':status') return undefined;
  const { value } = first;
  const status = value === '200' ? 200 : /^[1-5]\d\d$/.test(value) ? Number(value) : undefined;
  for (let at = 1; at < fields.length; at++)
    if ((fields[at]?.about.bits ?? 0) & (About.PSEUDO | About.HTTP1)) return undefined;
  return status;
}

const STATUS_FIELDS = new Map<number, Field>();

/** The `:status` of a response. */
export function statusField(status: number): Field {
  let field = STATUS_FIELDS.get(status);
  if (field === undefined) STATUS_FIELDS.set(status, (field = makeField(':status', String(status))));
  return field;
}

/** Stands for a Content-Length that no body can have. */
export const MALFORMED_LENGTH = -1;

/**
 * The Content-Length that the body's bytes must add up to; undefined: there is none; `MALFORMED_LENGTH`: it
 * is no number, or there are several.
 */
export function bodyLengthOf(fields: readonly Field[]): number | undefined {
  let found: string | undefined;
  for (const { about, value } of fields) {
    if ((about.bits & About.LENGTH) === 0) continue;
    if (found !== undefined) return MALFORMED_LENGTH;
    found = value;
  }
  if (found === undefined) return undefined;
  return /^\d{1,15}$/.test(found) ? Number(found) : MALFORMED_LENGTH;
}
