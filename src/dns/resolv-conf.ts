import { withoutFinalDot } from '../base/dns-name.ts';

/** What `resolv.conf` says of names that are not absolute (resolv.conf(5)). */
export interface SearchRules {
  /** Domains that are tried behind a name, in this order. */
  readonly search: readonly string[];
  /** A name with at least so many dots is tried as it is before the search domains. */
  readonly ndots: number;
}

const DEFAULT_NDOTS = 1;
/** Largest `ndots`, as in glibc. */
const MAX_NDOTS = 15;
/** Most search domains: as many as Kubernetes lets a pod have. */
const MAX_DOMAINS = 32;

/**
 * Reads `search`, `domain` (the last of both counts) and `options ndots:n`; c-ares reads the rest of the file
 * itself.
 */
export function parseSearchRules(text: string): SearchRules {
  let search: readonly string[] = [];
  let ndots = DEFAULT_NDOTS;
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line.trim().split(/\s+/);
    if (keyword === 'search') search = words;
    else if (keyword === 'domain') search = words.slice(0, 1);
    else if (keyword === 'options') {
      const given = words.findLast((word) => word.startsWith('ndots:'))?.slice('ndots:'.length);
      if (given !== undefined && /^\d+$/.test(given)) ndots = Math.min(MAX_NDOTS, Number(given));
    }
  }
  const domains = search.map(withoutFinalDot);
  return { search: domains.filter((domain) => domain !== '').slice(0, MAX_DOMAINS), ndots };
}

/** The names to ask for, in glibc's order: an absolute name (`gw.example.`) is asked for alone. */
export function searchCandidates(name: string, { search, ndots }: SearchRules): readonly string[] {
  if (name.endsWith('.')) return [name];
  const searched = search.map((domain) => `${name}.${domain}`);
  const dots = name.split('.').length - 1;
  return dots >= ndots ? [name, ...searched] : [...searched, name];
}
