import { type FamilyAnswer, hasAddresses, type NameAnswer } from './answer.ts';

/**
 * Most addresses of one name that are used: each is probed, dialled and written into mirrors, and a name in
 * somebody else's DNS may have thousands.
 */
export const MAX_ADDRESSES = 64;
/**
 * Bounds of a TTL, milliseconds: a name server can neither force constant look-ups nor fix an answer for
 * long.
 */
export const MIN_TTL_MS = 5_000;
export const MAX_TTL_MS = 60_000;

/** What is known of a name. */
export interface KnownAddresses {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

export const NOTHING_KNOWN: KnownAddresses = { ipv4: [], ipv6: [] };

/**
 * The addresses to use after an answer. A family without an answer keeps its known addresses. `none` for one
 * family is believed only where the other has addresses; `none` for both is not: a record that is being
 * replaced is gone for a moment, and trouble with DNS must not remove addresses that work, which probes and
 * connections decide.
 */
export function afterAnswer(known: KnownAddresses, answer: NameAnswer): KnownAddresses {
  if (!hasAddresses(answer)) return known;
  return bounded(familyOf(answer.ipv4, known.ipv4), familyOf(answer.ipv6, known.ipv6));
}

/** How long an answer with addresses may be used, milliseconds: its lowest TTL, within the bounds. */
export function answerTtlMs({ ipv4, ipv6 }: NameAnswer): number {
  const ttls = [ipv4, ipv6].map((family) => (family.kind === 'addresses' ? family.ttlMs : MAX_TTL_MS));
  return Math.max(MIN_TTL_MS, Math.min(MAX_TTL_MS, ...ttls));
}

/** All of them, those of IPv4 first. */
export function allAddresses({ ipv4, ipv6 }: KnownAddresses): readonly string[] {
  return [...ipv4, ...ipv6];
}

function familyOf(answer: FamilyAnswer, known: readonly string[]): readonly string[] {
  if (answer.kind === 'failed') return known;
  // Sorted, so that equal sets compare equal, and the same ones are used each time where there are too many.
  return answer.kind === 'none' ? [] : [...new Set(answer.addresses)].sort();
}

/**
 * At most `MAX_ADDRESSES`; where there are more, each family gets at least half, as far as it has so many.
 */
function bounded(ipv4: readonly string[], ipv6: readonly string[]): KnownAddresses {
  const half = MAX_ADDRESSES / 2;
  return {
    ipv4: ipv4.slice(0, Math.max(half, MAX_ADDRESSES - ipv6.length)),
    ipv6: ipv6.slice(0, Math.max(half, MAX_ADDRESSES - ipv4.length)),
  };
}
