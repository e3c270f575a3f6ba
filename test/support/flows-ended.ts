import type { ProxyCounters } from '../../src/proxy/metrics/counters.ts';
import { eventually } from './eventually.ts';

/**
 * Waits until every request and raw connection that was counted as begun was counted as ended, once. One that
 * is forgotten on some way would be under way for ever in metrics, and one that ends twice would hide
 * another.
 */
export async function flowsEnded(
  name: string,
  { targets, pairs }: Pick<ProxyCounters, 'targets' | 'pairs'>,
): Promise<void> {
  await eventually(
    `every flow of the ${name} has ended once`,
    () => {
      const ofClients = pairs.numbers().map((pair) => [`${pair.peer} to ${pair.target}`, pair] as const);
      const wrong = [...targets, ...ofClients].filter(([, { inFlight }]) => inFlight !== 0);
      if (wrong.length === 0) return true;
      throw new Error(wrong.map(([label, { inFlight }]) => `${label}: ${inFlight} under way`).join(', '));
    },
    { timeoutMs: 10_000 },
  );
}
