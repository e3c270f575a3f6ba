import { type Field, fieldName, makeField } from '../../http/fields.ts';

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

/** The fields of the static table by index; there is none at 0, which the decoder refuses. */
export const STATIC_FIELDS: readonly Field[] = [
  makeField('', ''),
  ...ENTRIES.map(([name, value = '']) => makeField(name, value)),
];

/** The index of the newest field of the dynamic table. */
export const FIRST_DYNAMIC = STATIC_FIELDS.length;

for (const [at, [name, value]] of ENTRIES.entries()) {
  const about = fieldName(name);
  // A name that stands there several times has its lowest index.
  if (about.staticIndex === 0) about.staticIndex = at + 1;
  if (value !== undefined) (about.staticValues ??= new Map()).set(value, at + 1);
}
