import { addressForms, neverRemote, type IpRanges } from '../../base/ip-ranges.ts';
import { IMPORT_GATEWAY_CIDRS, IMPORT_POD_CIDRS } from '../../api/names.ts';
import type { ImportPolicy } from '../../api/link/import-policy.ts';

/** Kinds of the source cluster's own address ranges. */
export const OWN_RANGES = ['pod', 'service', 'node'] as const;
/** One of `OWN_RANGES`. */
export type OwnRange = (typeof OWN_RANGES)[number];

/** The source cluster's own ranges, as far as they are known. */
export interface OwnRanges {
  readonly ranges: Readonly<Record<OwnRange, IpRanges>>;
}

/**
 * In which of the source cluster's own ranges an address lies, in any of its forms (an IPv4 address may be
 * written as IPv6), as a phrase for people; undefined: in none that is known.
 */
export function ownRangeOf(address: string, { ranges }: OwnRanges): string | undefined {
  for (const form of addressForms(address))
    for (const kind of OWN_RANGES) {
      const range = ranges[kind].findBytes(form);
      if (range !== undefined) return `in this cluster's own ${kind} range ${range}`;
    }
  return undefined;
}

/** Why an address that a target names as a pod's cannot be used; undefined: it can. Pure. */
export function podRefusal(
  address: string,
  policy: Pick<ImportPolicy, 'podCidrs'>,
  own: OwnRanges,
): string | undefined {
  const never = neverRemote(address);
  if (never !== undefined) return never;
  const range = ownRangeOf(address, own);
  if (range !== undefined) return range;
  const { podCidrs } = policy;
  return podCidrs === undefined || podCidrs.find(address) !== undefined
    ? undefined
    : `outside the annotation ${IMPORT_POD_CIDRS} of the Link`;
}

/**
 * Why an address of a gateway cannot be used; undefined: it can. An address in the source cluster's own
 * ranges (a tunnel's Service) must be allowed by the policy, even if the Link itself names it: what stands in
 * a Link came from the target, too, when the clusters were linked. Pure.
 */
export function gatewayRefusal(
  address: string,
  policy: Pick<ImportPolicy, 'gatewayCidrs'>,
  own: OwnRanges,
): string | undefined {
  const never = neverRemote(address);
  if (never !== undefined) return never;
  if (policy.gatewayCidrs.find(address) !== undefined) return undefined;
  const range = ownRangeOf(address, own);
  return range === undefined
    ? undefined
    : `${range}, which the annotation ${IMPORT_GATEWAY_CIDRS} of the Link does not allow`;
}
