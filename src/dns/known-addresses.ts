import { type FamilyAnswer, hasAddresses, type NameAnswer } from './answer.ts';

/**
 * Addresses of one name that are used: each is probed, dialled, and stands in mirrors. A name of a DNS that
 * is not ours may have thousands.
 */
export const MAX_ADDRESSES = 64;
/** Bounds of a TTL: a name server may neither make us ask all the time nor be believed for long. */
export const MIN_TTL_MS = 5_000;
export const MAX_TTL_MS = 60_000;

/** What is known of a name. */
export interface KnownAddresses {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

export const NOTHING_KNOWN: KnownAddresses = { ipv4: [], ipv6: [] };

/**
 * What is known after an answer. Where nobody answers, or for one family nobody does, what was known stays.
 * That there are no addresses of one family is believed where there are some of the other; that there are
 * none at all is not, because who makes a record anew takes the old one away first, and trouble with names
 * takes nothing away that works: whether an address does, probes and connections say.
 */
export function learned(known: KnownAddresses, answer: NameAnswer): KnownAddresses {
  if (!hasAddresses(answer)) return known;
  return bounded(familyOf(answer.ipv4, known.ipv4), familyOf(answer.ipv6, known.ipv6));
}

/** For how long an answer with addresses is good, milliseconds: its lowest TTL within the bounds. */
export function goodFor({ ipv4, ipv6 }: NameAnswer): number {
  const ttls = [ipv4, ipv6].map((family) => (family.kind === 'addresses' ? family.ttlMs : MAX_TTL_MS));
  return Math.max(MIN_TTL_MS, Math.min(MAX_TTL_MS, ...ttls));
}

/** All of them, those of IPv4 first. */
export function allOf({ ipv4, ipv6 }: KnownAddresses): readonly string[] {
  return [...ipv4, ...ipv6];
}

function familyOf(answer: FamilyAnswer, known: readonly string[]): readonly string[] {
  if (answer.kind === 'failed') return known;
  // Sorted, so that equal sets compare equal, and so that of too many the same ones are used each time.
  return answer.kind === 'none' ? [] : [...new Set(answer.addresses)].sort();
}

/** At most `MAX_ADDRESSES`, of which neither family can take more than half from the other. */
function bounded(ipv4: readonly string[], ipv6: readonly string[]): KnownAddresses {
  const half = MAX_ADDRESSES / 2;
  return {
    ipv4: ipv4.slice(0, Math.max(half, MAX_ADDRESSES - ipv6.length)),
    ipv6: ipv6.slice(0, Math.max(half, MAX_ADDRESSES - ipv4.length)),
  };
}
