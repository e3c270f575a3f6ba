import { describeError } from '../../api/errors/linkspan-error.ts';
import { sleep, systemClock } from '../../base/clock.ts';
import { type EdgeRow, edgeRows } from '../../traffic/edge-rows.ts';
import { edgeName } from '../output/edges-text.ts';
import { afterKey, type Key, TOP_BEGINS, topLines, type TopState } from '../output/top-screen.ts';
import { closeAll, openClusters, readsOf, shownRows, type TrafficView } from './show-traffic.ts';
import { TopTerminal } from './top-terminal.ts';
import type { TrafficFlags } from './view-flags.ts';

const EVERY_MS = 2000;

/** What `top` reads. */
export const TOP_VIEW: Omit<TrafficView<EdgeRow>, 'text'> = {
  wanted: { services: false, links: false, pods: true, usage: false, silent: false },
  rows: edgeRows,
  nameOf: edgeName,
  namespaceOf: (row) => [row.src_namespace, row.dst_namespace],
};

async function restUntil(ended: AbortSignal, ms: number): Promise<void> {
  try {
    await sleep(systemClock, ms, ended);
  } catch (error) {
    if (!ended.aborted) throw error;
  }
}

/** Shows pairs of clients and Services until somebody ends it. Keys: `?`. */
export async function liveTop(flags: TrafficFlags): Promise<void> {
  const clusters = openClusters(flags, { ...TOP_VIEW.wanted, namespace: flags.namespace });
  const reads = readsOf(clusters, flags.timeout, true);
  const ended = new AbortController();
  const over = new Promise<undefined>((resolve) => {
    ended.signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  let state: TopState = { ...TOP_BEGINS, sort: flags.sort };
  let rows: readonly EdgeRow[] | undefined;
  let notes: readonly string[] = ['asking …'];
  const onKey = (key: Key) => {
    const next = afterKey(state, key, Math.max(1, terminal.rows - 3));
    if (next === undefined) return ended.abort();
    state = next;
    terminal.redraw();
  };
  const lines = () => {
    const { columns, rows: height } = terminal;
    return topLines(state, { rows, notes, windowMs: flags.window, columns, lines: height });
  };
  const terminal = new TopTerminal(process.stdin, process.stdout, {
    key: onKey,
    lines,
    end: () => ended.abort(),
  });
  /** What was seen last stays where nobody answers. */
  const look = async () => {
    try {
      const read = await Promise.race([reads.next(), over]);
      if (read === undefined) return;
      rows = shownRows({ ...TOP_VIEW, text: () => '' }, read.readings, flags);
      notes = read.unread;
    } catch (error) {
      notes = [describeError(error)];
    }
    terminal.redraw();
  };
  terminal.redraw();
  try {
    while (!ended.signal.aborted) {
      if (!state.paused) await look();
      await restUntil(ended.signal, flags.watch ?? EVERY_MS);
    }
  } finally {
    terminal.close();
    await closeAll(clusters);
  }
}
