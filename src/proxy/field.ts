/** A header field of an HTTP message: its name as it came, in lower case, and its value without surrounding blanks, one character per byte. */
export interface Field {
  readonly name: string;
  readonly lower: string;
  readonly value: string;
  /** Its sender asked not to keep it in compression tables (RFC 7541 section 6.2.3). */
  readonly sensitive?: boolean;
}

/** A field made here. @param name in lower case */
export function makeField(name: string, value: string): Field {
  return { name, lower: name, value };
}

/** The value of the first field of that (lower-case) name. */
export function valueOf(fields: readonly Field[], name: string): string | undefined {
  for (const field of fields) if (field.lower === name) return field.value;
  return undefined;
}

const LOWER_TOKEN = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** Visible characters, blanks within and obs-text; no control characters, so no CR, LF or NUL (RFC 9113 section 8.2.1, RFC 9110 section 5.5). */
// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const FIELD_VALUE = /^(?![\t ])[\t\x20-\x7e\x80-\xff]*$/;

/** Whether a string is a field name of HTTP/2: a token without upper case, maybe with a colon before it. */
export function isLowerToken(name: string): boolean {
  return LOWER_TOKEN.test(name);
}

/** Whether a string may be a field value. */
export function isFieldValue(value: string): boolean {
  return FIELD_VALUE.test(value) && !/[\t ]$/.test(value);
}

/** Fields that say how a message is framed or routed; in trailers they would come too late, or be somebody's trick (RFC 9110 section 6.5.1). */
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

/** The fields of a trailer section that may be believed and passed on. */
export function trailerFields(fields: readonly Field[]): Field[] {
  return fields.filter(({ lower }) => !NOT_IN_TRAILERS.has(lower) && !lower.startsWith('l5d-'));
}
