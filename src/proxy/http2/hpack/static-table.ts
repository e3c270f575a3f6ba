import type { Field } from '../../field.ts';

/** The static table (RFC 7541 appendix A): index 1 is the first. */
const ENTRIES: readonly (readonly [name: string, value?: string])[] = [
  [':authority'],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset'],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language'],
  ['accept-ranges'],
  ['accept'],
  ['access-control-allow-origin'],
  ['age'],
  ['allow'],
  ['authorization'],
  ['cache-control'],
  ['content-disposition'],
  ['content-encoding'],
  ['content-language'],
  ['content-length'],
  ['content-location'],
  ['content-range'],
  ['content-type'],
  ['cookie'],
  ['date'],
  ['etag'],
  ['expect'],
  ['expires'],
  ['from'],
  ['host'],
  ['if-match'],
  ['if-modified-since'],
  ['if-none-match'],
  ['if-range'],
  ['if-unmodified-since'],
  ['last-modified'],
  ['link'],
  ['location'],
  ['max-forwards'],
  ['proxy-authenticate'],
  ['proxy-authorization'],
  ['range'],
  ['referer'],
  ['refresh'],
  ['retry-after'],
  ['server'],
  ['set-cookie'],
  ['strict-transport-security'],
  ['transfer-encoding'],
  ['user-agent'],
  ['vary'],
  ['via'],
  ['www-authenticate'],
];

/** Fields by index; the hole at 0 is never asked for. */
export const STATIC_FIELDS: readonly Field[] = [
  { name: '', lower: '', value: '' },
  ...ENTRIES.map(([name, value = '']) => ({ name, lower: name, value })),
];

/** First dynamic index. */
export const FIRST_DYNAMIC = STATIC_FIELDS.length;

/** Lowest index of each name. */
export const STATIC_NAMES: ReadonlyMap<string, number> = new Map(
  ENTRIES.map(([name], at) => [name, at + 1] as const).reverse(),
);

/** Index of whole fields: name, then value. */
export const STATIC_PAIRS: ReadonlyMap<string, ReadonlyMap<string, number>> = pairs();

function pairs(): Map<string, Map<string, number>> {
  const found = new Map<string, Map<string, number>>();
  for (const [at, [name, value]] of ENTRIES.entries()) {
    if (value === undefined) continue;
    const values = found.get(name) ?? new Map<string, number>();
    found.set(name, values.set(value, at + 1));
  }
  return found;
}
