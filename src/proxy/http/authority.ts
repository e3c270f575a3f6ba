/**
 * Without "@": userinfo, which names the client, must not stand there (RFC 9113 section 8.3.1, RFC 9110
 * section 7.2).
 */
const AUTHORITY = /^[\x21-\x3f\x41-\x7e]+$/;

let last = '';

/**
 * Whether a text may be the authority of a request, or its Host. Remembers the last valid one, because the
 * next request often has the same.
 */
export function isAuthority(text: string): boolean {
  if (text !== '' && text === last) return true;
  if (!AUTHORITY.test(text)) return false;
  last = text;
  return true;
}
