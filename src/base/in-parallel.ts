import PQueue from 'p-queue';

/**
 * Does something with every item, `limit` of them at once, begun in order of the list. After a failure
 * nothing more is begun.
 * @returns outcomes in order of the items
 * @throws the first failure, when what was under way has ended: nothing goes on behind the back of whoever
 * catches it
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
    // Rather than `queue.clear()`, which rejects all that waits, before the failure itself is heard of.
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
