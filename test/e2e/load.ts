import type { Context } from './clusters.ts';
import type { LoadResult } from './programs/load.mts';
import type { Run } from './session.ts';

/** Requests that the load has in flight at most. */
export const LOAD_WORKERS = 8;

interface LoadOptions {
  readonly from?: Context;
  readonly url: string;
  readonly allowed?: number;
  readonly forMs?: number;
  /** Until when requests that begin may fail, milliseconds since the epoch; asked at the end. */
  readonly until?: () => number;
}

/**
 * Does `action` while a plain pod asks for `url` without pause, from before it to a moment after it.
 * @param allowed so many requests may fail; default none
 * @param forMs those that fail in so many milliseconds from the beginning of the action do not count; default
 * none
 * @param until or those until then
 * @returns what was seen, in words
 * @throws Error when more failed, with the first of them
 */
export async function underLoad(
  run: Run,
  { from = run.source, url, allowed = 0, forMs = 0, until = () => 0 }: LoadOptions,
  action: () => Promise<unknown>,
): Promise<string> {
  const command = ['exec', '-i', 'client', '--', 'node', '/programs/load.mts', url, String(LOAD_WORKERS)];
  const load = from.start('-n', run.namespace, ...command);
  await load.spoke;
  const spared = Date.now() + forMs;
  try {
    await action();
  } finally {
    load.endInput();
  }
  const seen = JSON.parse((await load.output).trim().split('\n').at(-1) ?? '') as LoadResult;
  const { answered, again, failures, slowest } = seen;
  if (answered === 0) throw new Error('nothing was answered at all');
  const counted = failures.filter(({ at }) => at > Math.max(spared, until()));
  if (counted.length > allowed) {
    const words = counted.slice(0, 3).map(({ at, why }) => `${new Date(at).toISOString()} ${why}`);
    throw new Error(
      `${counted.length} of ${answered + failures.length} requests failed: ${words.join('; ')}`,
    );
  }
  const retried = again === 0 ? '' : `, ${again} asked again on a new connection`;
  return `${answered} answers, ${failures.length} failed${retried}, slowest ${slowest.ms} ms${slowest.ms > 1000 ? ` at ${new Date(slowest.at).toISOString()}` : ''}`;
}
