/**
 * Addresses of the pages: all that is chosen stands in the URL, so that back works and links can be sent.
 * Pure.
 */

/** Pages by the first part of their path, in the order in which they are named. */
export const PAGES = {
  now: 'Now',
  map: 'Map',
  links: 'Links',
  services: 'Services',
  clients: 'Clients',
  live: 'Live',
  processes: 'Processes',
  reasons: 'Reasons',
} as const;

export type PageName = keyof typeof PAGES;

/** Where somebody is. */
export interface Place {
  /** Undefined: there is no such page. */
  readonly page: PageName | undefined;
  /** What follows in the path: context and name of a Link, namespace and name of a Service. */
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

/** How many parts may follow a page. */
const PARTS: Readonly<Partial<Record<PageName, number>>> = { links: 2, services: 2 };

/** Reads an address of ours. */
export function placeOf({ pathname, search }: { readonly pathname: string; readonly search: string }): Place {
  const query = new URLSearchParams(search);
  const [first = '', ...parts] = pathname.replace(/\/$/, '').split('/').slice(1).map(decoded);
  const page = first === '' ? 'now' : Object.hasOwn(PAGES, first) ? (first as PageName) : undefined;
  const known = page !== undefined && (parts.length === 0 || parts.length === PARTS[page]);
  return { page: known ? page : undefined, parts, query };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** What the address of a page is. What is empty in the query is left out. */
export function pageHref(
  page: PageName,
  parts: readonly string[] = [],
  query: Readonly<Record<string, string>> = {},
): string {
  const path = `/${[page, ...parts].map(encodeURIComponent).join('/')}`;
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString();
  return asked === '' ? path : `${path}?${asked}`;
}

/** The query with one value changed; empty: taken out. */
export function changedQuery(query: URLSearchParams, key: string, value: string): string {
  const next = new URLSearchParams(query);
  if (value === '') next.delete(key);
  else next.set(key, value);
  const text = next.toString();
  return text === '' ? '' : `?${text}`;
}

/** The title of the window. */
export function titleOf({ page, parts }: Place): string {
  const name = page === undefined ? 'Not found' : [PAGES[page], ...parts].join(' / ');
  return `${name} · Linkspan`;
}
