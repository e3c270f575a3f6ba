import { About, type Field, isBlank } from '../../proxy/http/fields.ts';

/**
 * Values that Linkerd's proxies do not quote: RFC 9110 tokens, with the `:` and `/` of addresses and SPIFFE
 * IDs.
 */
const PLAIN = /^[\w!#$%&'*+.^`|~:/-]+$/;

/**
 * The `Forwarded` element (RFC 7239) of a request that has passed the gateway, as Linkerd's gateway writes
 * it. An identity whose characters could end the value is quoted, so that no name can inject another
 * parameter.
 */
export function forwardedElement(own: string, client: string, host: string): string {
  return `by=${value(own)};for=${value(client)};host=${value(host)};proto=https`;
}

function value(text: string): string {
  return PLAIN.test(text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

/**
 * Whether some `Forwarded` element (RFC 7239) has this gateway as its `by`, so that the request loops: every
 * element of every field, quoted or not, in any case. Linkerd reads only the first `by` of each field, so
 * that an intermediary that merges fields defeats it. A pair is looked for behind every separator, even
 * inside quotes: with an unclosed quote a client could otherwise hide the element that we have added. Takes
 * time linear in the text.
 */
export function passedBefore(own: string, fields: readonly Field[]): boolean {
  for (const { about, value: text } of fields) {
    if ((about.bits & About.FORWARDED) === 0) continue;
    for (let at = 0; at <= text.length; at = nextPair(text, at)) if (isBy(text, at, own)) return true;
  }
  return false;
}

/** Start of the pair that follows the one at `at`. */
function nextPair(text: string, at: number): number {
  let end = at;
  while (end < text.length && !isSeparator(text.charCodeAt(end))) end++;
  return end + 1;
}

/** Whether the pair at `start` is `by=` with this value. */
function isBy(text: string, start: number, own: string): boolean {
  const name = behindBlanks(text, start);
  // `b` and `y` in either case.
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
