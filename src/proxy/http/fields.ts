import { ORIG_PROTO, PROXY_CONNECTION, PROXY_FIELD_PREFIX } from '../../api/linkerd/proxy-fields.ts';
/**
 * What a field name means to a proxy, as bit flags. They are worked out once for each name and kept with it
 * (`FieldName`), so that a request costs no look-ups by name.
 */
export const About = {
  /** A pseudo-header of HTTP/2: `:method` and the like. */
  PSEUDO: 1,
  /**
   * Belongs to one hop (RFC 9110 section 7.6.1). Not so Transfer-Encoding, which has `CODING`.
   */
  HOP: 1 << 1,
  /** Transfer-Encoding. */
  CODING: 1 << 2,
  /** Names other fields of this hop: Connection, Proxy-Connection. */
  OPTIONS: 1 << 3,
  /** Belongs to an HTTP/1 connection, so HTTP/2 may not have it (RFC 9113 section 8.2.2). */
  HTTP1: 1 << 4,
  /** May be set by proxies only: `l5d-…`. */
  PROXY: 1 << 5,
  HOST: 1 << 6,
  LENGTH: 1 << 7,
  TE: 1 << 8,
  FORWARDED: 1 << 9,
  COOKIE: 1 << 10,
  /** Kept although the Connection field names it: a client must not be able to have it removed. */
  UNREMOVABLE: 1 << 11,
  /**
   * Never put into a compression table, by us or by whoever passes it on: short secrets could be guessed by
   * watching what compresses (RFC 7541 section 7.1.3).
   */
  SECRET: 1 << 12,
  /** Its values hardly come again, and would push those out of a compression table that do. */
  UNREPEATED: 1 << 13,
  /** `l5d-orig-proto`: what was spoken before a proxy carried it over HTTP/2. */
  ORIG_PROTO: 1 << 14,
  UPGRADE: 1 << 15,
  /** Credentials or a challenge of HTTP authentication. */
  SIGN_IN: 1 << 16,
  /** Says which trace the request is a part of. */
  TRACE: 1 << 17,
} as const;

const { HOP, OPTIONS, HTTP1, UNREMOVABLE, SECRET, UNREPEATED } = About;
const BITS: Readonly<Record<string, number>> = {
  connection: HOP | OPTIONS | HTTP1,
  'proxy-connection': HOP | OPTIONS | HTTP1,
  'keep-alive': HOP | HTTP1,
  te: HOP | About.TE,
  upgrade: HOP | HTTP1 | About.UPGRADE,
  'transfer-encoding': About.CODING | HTTP1 | UNREMOVABLE,
  'proxy-authenticate': HOP | About.SIGN_IN,
  'proxy-authorization': HOP | SECRET | About.SIGN_IN,
  'www-authenticate': About.SIGN_IN,
  'http2-settings': HOP,
  host: About.HOST | UNREMOVABLE,
  'content-length': About.LENGTH | UNREMOVABLE | UNREPEATED,
  'content-type': UNREMOVABLE,
  forwarded: About.FORWARDED | UNREMOVABLE,
  authorization: UNREMOVABLE | SECRET | About.SIGN_IN,
  cookie: About.COOKIE | UNREMOVABLE | SECRET,
  [ORIG_PROTO]: About.PROXY | About.ORIG_PROTO,
  [PROXY_CONNECTION]: About.PROXY | HOP,
  ':path': About.PSEUDO | UNREPEATED,
  ...Object.fromEntries(
    [
      'content-range',
      'date',
      'etag',
      'age',
      'location',
      'if-none-match',
      'if-modified-since',
      'last-modified',
      'set-cookie',
      'range',
      'grpc-timeout',
      'grpc-message',
      'x-request-id',
    ].map((name) => [name, UNREPEATED]),
  ),
  ...Object.fromEntries(
    ['traceparent', 'b3', 'x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid', 'grpc-trace-bin'].map(
      (name) => [name, UNREPEATED | About.TRACE],
    ),
  ),
  'x-b3-sampled': About.TRACE,
  'x-b3-flags': About.TRACE,
};
/** The names that have flags of their own, in lower case. */
export const KNOWN_FIELDS: readonly string[] = Object.keys(BITS);
/**
 * A request's field with none of these flags goes to the endpoint as it is, unless the Connection field names
 * it. The others are for this hop, set by proxies only, or written anew (Host, Transfer-Encoding).
 */
export const NOT_PLAIN = HOP | OPTIONS | About.CODING | About.PROXY | About.HOST | About.PSEUDO;

/** A field name and what it means to a proxy; one object for all fields of that name. */
export class FieldName {
  /** In lower case. */
  readonly text: string;
  /** Flags of `About`. */
  readonly bits: number;
  /** Its lowest index in HPACK's static table; 0 = not there. Filled in by that table. */
  staticIndex = 0;
  /** Indexes of whole fields in that table, by value. */
  staticValues: Map<string, number> | undefined;

  constructor(text: string) {
    this.text = text;
    this.bits = BITS[text] ?? bitsOf(text);
  }
}

function bitsOf(text: string): number {
  if (text.startsWith(PROXY_FIELD_PREFIX)) return About.PROXY;
  if (text.startsWith(':')) return About.PSEUDO;
  return text.includes('_') ? lookAlikeBits(text.replaceAll('_', '-')) : 0;
}

/** Names on which decisions rest: who a client is, how a message is framed, where it goes. */
const RESERVED = About.PROXY | HOP | About.CODING | About.LENGTH | About.HOST | About.FORWARDED;

/**
 * The flags of a name with `_` that looks like one with `-`. CGI, WSGI and their like read `l5d_client_id`
 * and `l5d-client-id` as the same variable (`HTTP_L5D_CLIENT_ID`), so that an application may take the one
 * for the other. Where decisions rest on the original, the look-alike is a forgery and is removed: from
 * requests only, like its original, where proxies alone may set that; from all messages, like a field of one
 * hop, elsewhere.
 * @param original the name with `-`
 */
function lookAlikeBits(original: string): number {
  const bits = BITS[original] ?? bitsOf(original);
  if ((bits & RESERVED) === 0) return 0;
  return bits & About.PROXY ? About.PROXY : HOP;
}

/** Longest value, in bytes, of a field that is read here and not only passed on. */
export const MAX_READ_VALUE = 8 * 1024;
const READ =
  OPTIONS |
  About.CODING |
  About.HOST |
  About.LENGTH |
  About.TE |
  About.FORWARDED |
  About.UPGRADE |
  About.ORIG_PROTO;

/**
 * Whether the value of a field means something here; those of all others are passed on or left out unread.
 */
export function isRead({ about }: Field): boolean {
  return (about.bits & READ) !== 0;
}

/**
 * Whether a field would be read here and is longer than anybody needs: its message is refused instead.
 */
export function isTooLongToRead(about: FieldName, value: string): boolean {
  return (about.bits & READ) !== 0 && value.length > MAX_READ_VALUE;
}

/** Most names that are kept: well-behaved applications use few, and others must not fill the memory. */
const MAX_NAMES = 1000;
const names = new Map<string, FieldName>();

/** The `FieldName` of a name. @param lower in lower case */
export function fieldName(lower: string): FieldName {
  let name = names.get(lower);
  if (name !== undefined) return name;
  name = new FieldName(lower);
  if (names.size < MAX_NAMES) names.set(lower, name);
  return name;
}

/**
 * A header field of an HTTP message.
 */
export class Field {
  /** As it came; `lower` has it in lower case. */
  readonly name: string;
  /** Without surrounding blanks, one character per byte. */
  readonly value: string;
  readonly about: FieldName;
  /** Its sender asked that it is never kept in compression tables (RFC 7541 section 6.2.3). */
  readonly sensitive: boolean;

  /** @param name as it came */
  constructor(name: string, value: string, about: FieldName, sensitive = false) {
    this.name = name;
    this.value = value;
    this.about = about;
    this.sensitive = sensitive;
  }

  /** The name in lower case. */
  get lower(): string {
    return this.about.text;
  }
}

/**
 * Whether a field goes to the next hop as far as the Connection field is concerned: it is not named there, or
 * may not be removed that way.
 * @param options of the message's Connection field, in lower case
 */
export function stays({ about }: Field, options: ReadonlySet<string>): boolean {
  return options.size === 0 || (about.bits & About.UNREMOVABLE) !== 0 || !options.has(about.text);
}

/** A field made here. @param name in lower case */
export function makeField(name: string, value: string): Field {
  return new Field(name, value, fieldName(name));
}

const GRPC = /^application\/grpc(?:[;+]|$)/;

/** Whether a message is one of gRPC, by its Content-Type. */
export function isGrpc(fields: readonly Field[]): boolean {
  return GRPC.test(valueOf(fields, 'content-type') ?? '');
}

/** Whether a field is `TE: trailers`: its sender takes trailers (RFC 9110 section 10.1.4). */
export function takesTrailers({ about, value }: Field): boolean {
  if ((about.bits & About.TE) === 0) return false;
  return value === 'trailers' || /(^|[ ,])trailers($|\W)/i.test(value);
}

/** The value of the first field of that (lower-case) name. */
export function valueOf(fields: readonly Field[], name: string): string | undefined {
  for (const field of fields) if (field.lower === name) return field.value;
  return undefined;
}

const LOWER_TOKEN = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/**
 * Visible characters, blanks within and obs-text; no control characters, so no CR, LF or NUL (RFC 9113
 * section 8.2.1, RFC 9110 section 5.5).
 */
// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const FIELD_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;

/** Whether a string is a field name of HTTP/2: a token without upper case, or a pseudo-header. */
export function isLowerToken(name: string): boolean {
  return LOWER_TOKEN.test(name);
}

/** Whether a string may be a field value. */
export function isFieldValue(value: string): boolean {
  return FIELD_VALUE.test(value);
}

/** Whether a value begins or ends with a blank, which no field value does. */
export function hasBlankEnds(value: string): boolean {
  return isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1));
}

/** A space or a tab. */
export function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/**
 * Fields that say how a message is framed, routed or authorized: in trailers they come too late to be obeyed,
 * and whoever merges trailers into the head might believe them (RFC 9110 section 6.5.1).
 */
const NOT_IN_TRAILERS = new Set([
  'transfer-encoding',
  'content-length',
  'host',
  'connection',
  'upgrade',
  'te',
  'trailer',
  'authorization',
  'forwarded',
]);

/**
 * The fields of a trailer section that are passed on: none of those in `NOT_IN_TRAILERS`, of one hop or of
 * proxies, nor their look-alikes.
 */
export function trailerFields(fields: readonly Field[]): Field[] {
  return fields.filter(({ about }) => !NOT_IN_TRAILERS.has(about.text) && !(about.bits & OF_PROXIES));
}

const OF_PROXIES = About.PROXY | HOP;

const NO_OPTIONS: ReadonlySet<string> = new Set();

/** The options of the Connection field, in lower case. */
export function connectionOptions(fields: readonly Field[]): ReadonlySet<string> {
  let options: Set<string> | undefined;
  for (const { about, value } of fields) {
    if ((about.bits & About.OPTIONS) === 0) continue;
    options ??= new Set();
    for (const option of value.toLowerCase().split(',')) options.add(option.trim());
  }
  return options ?? NO_OPTIONS;
}

/**
 * Whether fields belong to an authentication that holds for a whole connection (NTLM, Negotiate; RFC 4559
 * section 6): the server takes whoever sends on that connection later for whoever signed in.
 */
export function signsConnection(fields: readonly Field[]): boolean {
  for (const { about, value } of fields)
    if ((about.bits & About.SIGN_IN) !== 0 && SCHEME.test(value)) return true;
  return false;
}

const SCHEME = /(?:^|[, \t])(?:ntlm|negotiate)(?:$|[, \t])/i;
