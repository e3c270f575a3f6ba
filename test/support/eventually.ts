/**
 * Waits until `probe` returns without throwing (and not `false`/`undefined`), and returns what it returned.
 * Tests wait on conditions with this; they never sleep. On time-out the last failure is thrown with `what` in
 * front.
 */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  options: { timeoutMs?: number; everyMs?: number } = {},
): Promise<NonNullable<T>> {
  const end = performance.now() + (options.timeoutMs ?? 10_000);
  let last: unknown = new Error('condition never held');
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false && value !== null) return value as NonNullable<T>;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`timed out waiting: ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? 20));
  }
}
