import { isIPv6 } from 'node:net';

/**
 * The answer for one address family (A or AAAA) of a name. `none`: the name has no such addresses. `failed`:
 * no answer, so nothing is known.
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
 * Looks a name up, once. Failures are part of the answer; an exception counts as `failed` for both families.
 * @param signal once it is aborted the answer is not used any more, and no further queries may be sent
 */
export type LookUp = (name: string, signal: AbortSignal) => Promise<NameAnswer>;

const NONE: FamilyAnswer = { kind: 'none' };

/** An answer with these addresses, sorted into families. */
export function answerOf(addresses: readonly string[], ttlMs: number): NameAnswer {
  const family = (found: readonly string[]): FamilyAnswer =>
    found.length === 0 ? NONE : { kind: 'addresses', addresses: found, ttlMs };
  return {
    ipv4: family(addresses.filter((address) => !isIPv6(address))),
    ipv6: family(addresses.filter((address) => isIPv6(address))),
  };
}

/** An answer that failed for both families. */
export function failedAnswer(error: Error): NameAnswer {
  return { ipv4: { kind: 'failed', error }, ipv6: { kind: 'failed', error } };
}

/** Whether an answer has any address. */
export function hasAddresses({ ipv4, ipv6 }: NameAnswer): boolean {
  return ipv4.kind === 'addresses' || ipv6.kind === 'addresses';
}

/** Why nothing is known; undefined where at least one family was answered, if only with `none`. */
export function failureOf({ ipv4, ipv6 }: NameAnswer): Error | undefined {
  if (ipv4.kind === 'addresses' || ipv6.kind === 'addresses') return undefined;
  if (ipv4.kind === 'failed') return ipv4.error;
  return ipv6.kind === 'failed' ? ipv6.error : undefined;
}
