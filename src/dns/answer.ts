import { isIPv6 } from 'node:net';

/**
 * What was said of one kind of address (A or AAAA) of a name. `none`: that there are none. `failed`: nothing;
 * nobody knows.
 */
export type FamilyAnswer =
  | { readonly kind: 'addresses'; readonly addresses: readonly string[]; readonly ttlMs: number }
  | { readonly kind: 'none' }
  | { readonly kind: 'failed'; readonly error: Error };

export interface NameAnswer {
  readonly ipv4: FamilyAnswer;
  readonly ipv6: FamilyAnswer;
}

/**
 * Asks for a name once. Everything that can go wrong with the name is in the answer; what is thrown counts as
 * failed for both families.
 * @param signal when it is aborted nobody waits any more, and nothing more may be sent
 */
export type LookUp = (name: string, signal: AbortSignal) => Promise<NameAnswer>;

const NONE: FamilyAnswer = { kind: 'none' };

/** An answer that consists of these addresses of both families. */
export function answerOf(addresses: readonly string[], ttlMs: number): NameAnswer {
  const family = (found: readonly string[]): FamilyAnswer =>
    found.length === 0 ? NONE : { kind: 'addresses', addresses: found, ttlMs };
  return {
    ipv4: family(addresses.filter((address) => !isIPv6(address))),
    ipv6: family(addresses.filter((address) => isIPv6(address))),
  };
}

/** Nobody could say anything. */
export function failedAnswer(error: Error): NameAnswer {
  return { ipv4: { kind: 'failed', error }, ipv6: { kind: 'failed', error } };
}

/** Whether there is an address in it. */
export function hasAddresses({ ipv4, ipv6 }: NameAnswer): boolean {
  return ipv4.kind === 'addresses' || ipv6.kind === 'addresses';
}

/** Why nothing is known; undefined where at least something is, if only that there are no addresses. */
export function failureOf({ ipv4, ipv6 }: NameAnswer): Error | undefined {
  if (ipv4.kind === 'addresses' || ipv6.kind === 'addresses') return undefined;
  if (ipv4.kind === 'failed') return ipv4.error;
  return ipv6.kind === 'failed' ? ipv6.error : undefined;
}
