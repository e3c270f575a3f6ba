import { About, type Field, isBlank } from '../../proxy/http/fields.ts';

/**
 * What Linkerd's proxies leave unquoted: RFC 9110 tokens, and the `:` and `/` of addresses and SPIFFE IDs.
 */
const PLAIN = /^[\w!#$%&'*+.^`|~:/-]+$/;

/**
 * The `Forwarded` element (RFC 7239) of a request that has passed the gateway, as Linkerd's gateway writes
 * it. An identity whose characters could end its value is quoted, so that nobody's name says more than who it
 * is.
 */
export function forwardedElement(own: string, client: string, host: string): string {
  return `by=${value(own)};for=${value(client)};host=${value(host)};proto=https`;
}

function value(text: string): string {
  return PLAIN.test(text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

/**
 * Whether some `Forwarded` element (RFC 7239) says that this gateway has had the request: every element of
 * every field, quoted or not, in any case. Linkerd looks at the first `by` of each field only, so an
 * intermediary that merges fields defeats it. A pair is looked for behind every separator, also behind those
 * in quotes: with a quote that it never closes a client could hide from us what we have added. Takes time in
 * proportion to the text, whatever it is.
 */
export function passedBefore(own: string, fields: readonly Field[]): boolean {
  for (const { about, value: text } of fields) {
    if ((about.bits & About.FORWARDED) === 0) continue;
    for (let at = 0; at <= text.length; at = nextPair(text, at)) if (isBy(text, at, own)) return true;
  }
  return false;
}

/** Where the pair behind the one at `at` begins. */
function nextPair(text: string, at: number): number {
  let end = at;
  while (end < text.length && !isSeparator(text.charCodeAt(end))) end++;
  return end + 1;
}

/** Whether the pair that begins at `start` is `by=` with that value. */
function isBy(text: string, start: number, own: string): boolean {
  const name = behindBlanks(text, start);
  // Without case: `b` and `y`.
  if ((text.charCodeAt(name) | 0x20) !== 0x62 || (text.charCodeAt(name + 1) | 0x20) !== 0x79) return false;
  const equals = behindBlanks(text, name + 2);
  if (text[equals] !== '=') return false;
  const from = behindBlanks(text, equals + 1);
  const said = text[from] === '"' ? quoted(text, from + 1) : text.slice(from, nextPair(text, from) - 1);
  return said.trim().toLowerCase() === own.toLowerCase();
}

/**
 * A quoted string (RFC 9110 section 5.6.4), without its quotes and escapes.
 * @param start behind the first quote
 */
function quoted(text: string, start: number): string {
  let said = '';
  for (let at = start; at < text.length && text[at] !== '"'; at++) {
    if (text[at] === '\\') at++;
    said += text[at] ?? '';
  }
  return said;
}

function behindBlanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && isBlank(text.charCodeAt(at))) at++;
  return at;
}

function isSeparator(code: number): boolean {
  return code === 0x3b || code === 0x2c;
}
