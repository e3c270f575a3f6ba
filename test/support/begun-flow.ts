import type { ProxyCounters } from '../../src/proxy/metrics/counters.ts';
import type { TargetCounters } from '../../src/proxy/metrics/target-counters.ts';

/** Counts a flow of a target that has begun. @returns where the rest of it is counted */
export function begun(counters: ProxyCounters, target: string): TargetCounters {
  const found = counters.target(target);
  found.begin();
  return found;
}
