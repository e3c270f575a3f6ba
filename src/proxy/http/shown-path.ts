import { textBefore } from '../../base/text.ts';

/**
 * A path as it may be shown: no query, no fragment, no authority with what may stand before an "@" in it.
 * Undefined for what is no path (CONNECT).
 */
export function shownPath(path: string): string | undefined {
  const bare = textBefore(textBefore(path, '?'), '#');
  if (bare.startsWith('/') || bare === '*') return bare;
  const authority = bare.indexOf('://');
  if (authority < 0) return undefined;
  const slash = bare.indexOf('/', authority + 3);
  return slash < 0 ? '/' : bare.slice(slash);
}
