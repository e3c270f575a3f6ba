import { sleep, systemClock } from '../../base/clock.ts';
import type { TopEvent } from '../../dashboard/answers.ts';
import { edgesShown } from '../../dashboard/context-tables.ts';
import type { LiveEvent } from '../../dashboard/dashboard-answers.ts';
import { adviceFor } from '../output/failure-advice.ts';
import { ClusterReads, type ReadClusters } from '../traffic/cluster-reads.ts';
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
  const clusters = sources.map(({ context: name, client, namespace }) => ({
    name,
    client,
    reader: new TrafficReader({ name, client, namespace }, options),
  }));
  const reads = new ClusterReads(clusters, { clock: systemClock, timeoutMs, live: true });
  while (!signal.aborted) {
    yield { event: 'top', data: topOf(await reads.look()) };
    await sleep(systemClock, EVERY_MS, signal).catch(() => undefined);
  }
}

function topOf({ names, readings, unread }: ReadClusters): TopEvent {
  const rows = readings.map((reading, at) => edgesShown(names[at] ?? '', reading, adviceFor));
  return {
    at: systemClock.now(),
    windowMs: WINDOW_MS,
    rows: Object.assign({}, ...rows) as TopEvent['rows'],
    unread,
  };
}
