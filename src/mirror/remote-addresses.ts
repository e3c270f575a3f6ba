import { addressForms, neverRemote, type IpRanges } from '../base/ip-ranges.ts';
import { IMPORT_GATEWAY_CIDRS, IMPORT_POD_CIDRS } from '../base/names.ts';
import type { ImportPolicy } from '../link/import-policy.ts';

/** Ranges of the source cluster itself. */
export const OWN_RANGES = ['pod', 'service', 'node'] as const;
export type OwnRange = (typeof OWN_RANGES)[number];

/** The source cluster's own ranges, as far as they are known. */
export interface OwnRanges {
  readonly ranges: Readonly<Record<OwnRange, IpRanges>>;
}

/** Which range of the source's own an address lies in, in any of its forms; undefined: none that is known. */
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
 * Why an address of a gateway cannot be used; undefined: it can. What the source's admin wrote as an address may lie in a range of the source's own (a tunnel's Service); what a name resolves to is somebody else's
 * word, and may only where the policy says so. Pure.
 * @param literal whether the admin wrote this very address
 */
export function gatewayRefusal(
  address: string,
  literal: boolean,
  policy: Pick<ImportPolicy, 'gatewayCidrs'>,
  own: OwnRanges,
): string | undefined {
  const never = neverRemote(address);
  if (never !== undefined) return never;
  if (literal || policy.gatewayCidrs.find(address) !== undefined) return undefined;
  const range = ownRangeOf(address, own);
  return range === undefined
    ? undefined
    : `${range} (the annotation ${IMPORT_GATEWAY_CIDRS} of the Link allows it)`;
}
