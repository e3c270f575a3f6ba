import { z } from 'zod';
import { rowsPage } from './answer-page.ts';

/**
 * What an egress pod has found out about an address by its own connections. `unknown`: it has tried none;
 * `suspect`: the last attempt failed, or a connection does not answer in time; `dead`: three in a row failed,
 * over 2 s at least.
 */
export type EvidenceState = 'unknown' | 'alive' | 'suspect' | 'dead';

/** The evidence of one egress pod about one address of a gateway. */
export interface TrunkReport {
  /** `host:port`; of IPv6 `[host]:port`. */
  readonly gateway: string;
  /** The identity that it must prove. */
  readonly identity: string;
  readonly state: EvidenceState;
  /** For how long it has been so, milliseconds: an age, as clocks of pods differ. */
  readonly sinceMs: number;
  /** Connections that were opened, or could not be, since it is known. */
  readonly attempts: number;
}

/**
 * Most entries of a page that are written, and that are read, and the longest of their texts: together less
 * than the 1 MiB that is read of a page.
 */
export const MAX_TRUNKS = 1024;
export const MAX_TRUNK_TEXT = 300;

/** An egress pod's evidence about all gateway addresses that it has routes to. */
export const EGRESS_TRUNKS_PAGE = rowsPage<TrunkReport>(
  '/trunks',
  z.object({
    gateway: z.string().max(MAX_TRUNK_TEXT),
    identity: z.string().max(MAX_TRUNK_TEXT),
    state: z.enum(['unknown', 'alive', 'suspect', 'dead']),
    sinceMs: z.number().min(0),
    attempts: z.number().min(0),
  }),
  MAX_TRUNKS,
);
