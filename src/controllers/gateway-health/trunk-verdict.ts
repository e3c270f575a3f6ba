import { formatAddress } from '../../base/address.ts';
import type { TrunkReport } from '../../api/answers/trunk-report.ts';

/** What one egress pod has said, and when (monotonic milliseconds). */
export interface PodEvidence {
  readonly at: number;
  readonly trunks: readonly TrunkReport[];
}

/** A pod that has not been heard for longer counts for nothing, milliseconds. */
export const FRESH_MS = 10_000;

/** Names a gateway address in sets of them. */
export function trunkKey(host: string, port: number, identity: string): string {
  return `${formatAddress({ host, port })} ${identity}`;
}

/**
 * As many pods as must have tried an address, where there are so many: one alone, whose node is broken or who
 * lies, must not take a way from all clients. The next pod whose clients want to go there is the second.
 */
const MIN_TRIED = 2;

/**
 * The gateway addresses that at least half of the egress pods that have tried them cannot reach, where two
 * have or there is one only. One that only doubts can. Pure.
 * @param pods what is known of each pod
 * @param now monotonic milliseconds
 */
export function lostTrunks(pods: Iterable<PodEvidence>, now: number): Set<string> {
  const counts = new Map<string, { tried: number; lost: number }>();
  let heard = 0;
  for (const { at, trunks } of pods) {
    if (now - at > FRESH_MS) continue;
    heard++;
    const seen = new Set<string>();
    for (const { gateway, identity, state } of trunks) {
      const key = `${gateway} ${identity}`;
      // A pod has one word about each, however often it says it.
      if (seen.has(key) || (state !== 'alive' && state !== 'suspect' && state !== 'dead')) continue;
      seen.add(key);
      const count = counts.get(key) ?? { tried: 0, lost: 0 };
      counts.set(key, count);
      count.tried++;
      if (state === 'dead') count.lost++;
    }
  }
  const enough = Math.min(MIN_TRIED, heard);
  const isLost = ({ tried, lost }: { readonly tried: number; readonly lost: number }) =>
    lost > 0 && lost * 2 >= tried && tried >= enough;
  return new Set([...counts].filter(([, count]) => isLost(count)).map(([key]) => key));
}
