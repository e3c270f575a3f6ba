import { describeError } from '../../api/errors/linkspan-error.ts';
import { sleep, systemClock } from '../../base/clock.ts';
import type { TopEvent } from '../../dashboard/answers.ts';
import { edgesShown } from '../../dashboard/context-tables.ts';
import type { LiveEvent } from '../../dashboard/dashboard-answers.ts';
import { withNames } from '../../traffic/cluster-reading.ts';
import { within } from '../flags/cluster-flags.ts';
import { adviceFor } from '../output/failure-advice.ts';
import { TOP_VIEW } from '../traffic/live-top.ts';
import { TrafficReader } from '../traffic/traffic-reader.ts';
import type { OpenSource } from './cluster-source.ts';

const WINDOW_MS = 10_000;
const EVERY_MS = 2000;

/** Who asks whom in the last seconds, again and again, as `linkspan top` shows it. */
export async function* liveEdges(
  sources: readonly OpenSource[],
  timeoutMs: number,
  signal: AbortSignal,
): AsyncGenerator<LiveEvent> {
  const wanted = { ...TOP_VIEW.wanted, namespace: undefined };
  const options = { clock: systemClock, windowMs: WINDOW_MS, timeoutMs, wanted };
  const readers = sources.map(({ context, client, namespace }) => ({
    context,
    server: client.server,
    reader: new TrafficReader({ name: context, client, namespace }, options),
  }));
  while (!signal.aborted) {
    const read = await Promise.allSettled(
      readers.map(({ server, reader }) => within(timeoutMs, server, reader.read())),
    );
    yield { event: 'top', data: topOf(readers, read) };
    await sleep(systemClock, EVERY_MS, signal).catch(() => undefined);
  }
}

function topOf(
  readers: readonly { readonly context: string }[],
  results: readonly PromiseSettledResult<Awaited<ReturnType<TrafficReader['read']>>>[],
): TopEvent {
  const unread: string[] = [];
  const known: { readonly context: string; readonly read: Awaited<ReturnType<TrafficReader['read']>> }[] = [];
  for (const [at, { context }] of readers.entries()) {
    const result = results[at];
    if (result?.status === 'fulfilled') known.push({ context, read: result.value });
    else unread.push(`${context}: ${describeError(result?.reason)}`);
  }
  const readings = withNames(known.map(({ read }) => read.reading));
  const rows = known.map(({ context }, at) => {
    const reading = readings[at];
    return reading === undefined ? {} : edgesShown(context, reading, adviceFor);
  });
  return {
    at: systemClock.now(),
    windowMs: WINDOW_MS,
    rows: Object.assign({}, ...rows) as TopEvent['rows'],
    unread: [...unread, ...known.flatMap(({ read }) => read.unread)],
  };
}
