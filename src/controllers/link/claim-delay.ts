/**
 * A replica waits so much longer before it takes a free Lease for each one that it holds, so that replicas
 * share the Links; a single replica still takes all within seconds.
 */
const CLAIM_DELAY_MS = 100;
const MAX_CLAIM_DELAY_MS = 1200;

/**
 * How long a replica waits before it takes a free Lease, milliseconds.
 * @param held Leases of Links that it holds already
 * @param random 0 to 1, one for each Lease: replicas that hold equally many do not ask at the same moment
 */
export function claimDelay(held: number, random: number): number {
  return Math.min(MAX_CLAIM_DELAY_MS, CLAIM_DELAY_MS * held + (random * CLAIM_DELAY_MS) / 2);
}
