import { address } from '../../../test/testbed/netns.ts';

/** The clusters that serve; clients and egress are in another one, `east`. */
export const TARGETS = ['west', 'north'] as const;
export type Target = (typeof TARGETS)[number];

/** Endpoints that a member has when it is whole. */
const ENDPOINTS = 10;
/** Number of the first address: those before are of API servers. */
const FIRST_ORIGIN = 4;

/** Addresses of all endpoints of a member; the members' ports differ. */
export function originAddresses(): readonly string[] {
  return Array.from({ length: ENDPOINTS }, (_, index) => address(FIRST_ORIGIN + index));
}
