import { type Field, makeField, valueOf } from '../field.ts';
import type { Framing } from '../http1/head.ts';
import type { HttpVersion } from '../upstream.ts';

/** A request as its HTTP/2 header list says it. */
export interface Http2Request {
  readonly method: string;
  readonly path: string;
  readonly authority: string | undefined;
  /** What the client spoke before a proxy carried it over HTTP/2. */
  readonly version: HttpVersion;
  readonly fields: readonly Field[];
  readonly framing: Framing;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PATH = /^(?:\/[\x21-\x7e\x80-\xff]*|\*)$/;
const AUTHORITY = /^[\x21-\x7e]+$/;
const PSEUDO = new Set([':method', ':scheme', ':path', ':authority']);
/** Fields that belong to an HTTP/1 connection (RFC 9113 section 8.2.2). */
const CONNECTION_FIELDS = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
]);
/** Set by Linkerd's proxies on requests that they have carried over (wire reference 2). */
export const ORIG_PROTO = 'l5d-orig-proto';

/** @returns the request, or why it is malformed (RFC 9113 section 8.3.1) */
export function readRequest(fields: readonly Field[], ended: boolean): Http2Request | string {
  const pseudo = new Map<string, string>();
  const plain: Field[] = [];
  for (const field of fields) {
    if (field.lower.startsWith(':')) {
      if (plain.length > 0) return 'a pseudo-header stands behind a field';
      if (!PSEUDO.has(field.lower) || pseudo.has(field.lower))
        return `there must not be a field ${field.lower} here`;
      pseudo.set(field.lower, field.value);
    } else {
      plain.push(field);
    }
  }
  const problem = pseudoProblem(pseudo) ?? fieldProblem(plain) ?? lengthProblem(plain, ended);
  if (problem !== undefined) return problem;
  return {
    method: pseudo.get(':method') ?? '',
    path: pseudo.get(':path') ?? '',
    authority: pseudo.get(':authority') ?? valueOf(plain, 'host'),
    version: versionOf(valueOf(plain, ORIG_PROTO)),
    fields: plain,
    framing: framingOf(plain, ended),
  };
}

function versionOf(origProto: string | undefined): HttpVersion {
  if (origProto === undefined) return 'HTTP/2';
  return origProto.startsWith('HTTP/1.0') ? 'HTTP/1.0' : 'HTTP/1.1';
}

function fieldProblem(fields: readonly Field[]): string | undefined {
  const bad = fields.find(
    ({ lower, value }) => CONNECTION_FIELDS.has(lower) || (lower === 'te' && value !== 'trailers'),
  );
  return bad === undefined ? undefined : `the field ${bad.lower} is not allowed in HTTP/2`;
}

function pseudoProblem(pseudo: ReadonlyMap<string, string>): string | undefined {
  const method = pseudo.get(':method') ?? '';
  if (!TOKEN.test(method)) return 'there is no valid method';
  if (method === 'CONNECT') return 'CONNECT is not served';
  if (!pseudo.has(':scheme')) return 'there is no scheme';
  const path = pseudo.get(':path') ?? '';
  if (!PATH.test(path) || (path === '*' && method !== 'OPTIONS')) return 'there is no valid path';
  const authority = pseudo.get(':authority');
  return authority === undefined || AUTHORITY.test(authority) ? undefined : 'the authority is not valid';
}

/** A length that an HTTP/1 target would believe and that is not the body's lets requests be smuggled past us. */
function lengthProblem(fields: readonly Field[], ended: boolean): string | undefined {
  const lengths = fields.filter(({ lower }) => lower === 'content-length');
  const [first] = lengths;
  if (first === undefined) return undefined;
  if (lengths.length > 1) return 'there is more than one Content-Length';
  if (!/^\d{1,15}$/.test(first.value)) return 'the Content-Length is no length';
  return ended && Number(first.value) > 0 ? 'the body is shorter than its Content-Length' : undefined;
}

function framingOf(fields: readonly Field[], ended: boolean): Framing {
  if (ended) return { kind: 'none' };
  const length = fields.find(({ lower }) => lower === 'content-length')?.value;
  // The connection has seen to it that the bytes add up to it.
  return length === undefined ? { kind: 'chunked' } : { kind: 'length', length: Number(length) };
}

/** Status and fields of a response; undefined when it is malformed (RFC 9113 section 8.3.2). */
export function readResponse(
  fields: readonly Field[],
): { readonly status: number; readonly fields: readonly Field[] } | undefined {
  const [first, ...rest] = fields;
  if (first?.lower !== ':status' || !/^[1-5]\d\d$/.test(first.value)) return undefined;
  if (rest.some(({ lower }) => lower.startsWith(':') || CONNECTION_FIELDS.has(lower))) return undefined;
  return { status: Number(first.value), fields: rest };
}

const STATUS_FIELDS = new Map<number, Field>();

/** The `:status` of a response. */
export function statusField(status: number): Field {
  let field = STATUS_FIELDS.get(status);
  if (field === undefined) STATUS_FIELDS.set(status, (field = makeField(':status', String(status))));
  return field;
}
