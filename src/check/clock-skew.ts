import type { Clock } from '../base/clock.ts';
import { skewOf } from '../kube/client/cluster-time.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import type { LinkObject } from '../api/link/link-schema.ts';
import { type CheckFinding, skipped, passedUnless } from './check.ts';
import type { CheckFacts } from './check-facts.ts';
import { askTarget } from './asked-targets.ts';

/**
 * Largest difference between clocks that passes, milliseconds: with more, valid tokens and certificates may
 * look expired or not yet valid.
 */
const SKEW_MS = 5000;

/**
 * The time of an API server (in whole seconds; undefined: its answer had none), and this machine's before and
 * after the request; milliseconds since the epoch.
 */
export interface ClockReading {
  readonly whose: string;
  readonly before: number;
  readonly server: number | undefined;
  readonly after: number;
}

/**
 * Compares the clocks of the cluster's own API server and of those targets' that can be reached; unreachable
 * ones are reported by other checks.
 */
export async function clockSkew(
  facts: CheckFacts,
  clock: Clock,
  links: readonly LinkObject[],
): Promise<CheckFinding> {
  const read = async (whose: string, client: KubeClient): Promise<ClockReading> => {
    const before = clock.now();
    const server = await client.serverTime();
    return { whose, before, server, after: clock.now() };
  };
  const targets = links.map((link) =>
    askTarget(facts, link, (client) =>
      read(`the API server of ${link.spec?.targetClusterName ?? ''}`, client),
    ).catch(() => undefined),
  );
  const readings = await Promise.all([read('the API server', facts.client), ...targets]);
  return skewFinding(readings.flatMap((reading) => (reading === undefined ? [] : [reading])));
}

/** The result for these readings. Pure. */
export function skewFinding(readings: readonly ClockReading[]): CheckFinding {
  if (readings.every(({ server }) => server === undefined)) return skipped('no API server says its time');
  return passedUnless(
    readings.flatMap(({ whose, before, server, after }) => {
      if (server === undefined) return [];
      const off = skewOf({ before, server, after });
      if (Math.abs(off) <= SKEW_MS) return [];
      const seconds = (Math.abs(off) / 1000).toFixed(1);
      return [`* ${whose} is ${seconds} s ${off < 0 ? 'behind' : 'ahead of'} this machine`];
    }),
    'warning',
  );
}
