import type { Clock } from '../base/clock.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import type { LinkObject } from '../api/link/link-schema.ts';
import { type CheckFinding, skipped, unless } from './check.ts';
import type { CheckFacts } from './check-facts.ts';
import { askTarget } from './asked-targets.ts';

/**
 * Tokens and certificates have times in them: clocks further apart make good ones look expired, or not yet
 * valid. Milliseconds.
 */
const SKEW_MS = 5000;

/**
 * The time of an API server (whole seconds, undefined: it does not say), and this machine's before and after
 * it was asked; milliseconds since the epoch.
 */
export interface ClockReading {
  readonly whose: string;
  readonly before: number;
  readonly server: number | undefined;
  readonly after: number;
}

/**
 * Asks the cluster's own API server, and the targets' as far as they can be reached: whether they can is for
 * other checks.
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

/** Pure. The answer may have been stamped at any time between question and answer, and has whole seconds. */
export function skewFinding(readings: readonly ClockReading[]): CheckFinding {
  if (readings.every(({ server }) => server === undefined)) return skipped('no API server says its time');
  return unless(
    readings.flatMap(({ whose, before, server, after }) => {
      if (server === undefined) return [];
      const off = server + 1000 < before ? server + 1000 - before : Math.max(0, server - after);
      if (Math.abs(off) <= SKEW_MS) return [];
      const seconds = (Math.abs(off) / 1000).toFixed(1);
      return [`* ${whose} is ${seconds} s ${off < 0 ? 'behind' : 'ahead of'} this machine`];
    }),
    'warning',
  );
}
