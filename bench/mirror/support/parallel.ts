/**
 * Requests that are under way at once wherever the benchmarks make many: the limit that the product is
 * measured against.
 */
export const PARALLEL = 32;

/** Does something with every item, 32 at once, in order of the list. Rejects with the first failure. */
export async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const rest = items.values();
  const worker = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, worker));
}

/** Runs `work` and returns how long it took, seconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
