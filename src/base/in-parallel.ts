import PQueue from 'p-queue';

/**
 * Does something with every item, `limit` of them at once, begun in order of the list. After a failure
 * nothing more is begun.
 * @returns outcomes in order of the items
 * @throws the first failure, after all work that had begun has ended, so that nothing is still running when
 * it is caught
 */
export async function inParallel<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const queue = new PQueue({ concurrency: limit });
  const outcomes: R[] = [];
  const failures: unknown[] = [];
  const begin = async (item: T, index: number): Promise<void> => {
    // Not `queue.clear()`: it would reject the waiting items, and `addAll` with that, before the real failure
    // is known.
    if (failures.length > 0) return;
    try {
      outcomes[index] = await work(item);
    } catch (error) {
      failures.push(error);
    }
  };
  await queue.addAll(items.map((item, index) => () => begin(item, index)));
  if (failures.length > 0) throw failures[0];
  return outcomes;
}
