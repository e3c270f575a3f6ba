import type { TrafficReason } from '../api/reasons/traffic-reasons.ts';
import { type ClusterReading, fromOf, type ProcessReading } from './cluster-reading.ts';
import { baseRow, type StatRow } from './stat-row.ts';
import { Tally } from './tally.ts';
import { signalsVerdict, type Verdict } from './traffic-verdict.ts';

/** `stat gateway` and `stat egress`: each pod. */
export function processRows(readings: readonly ClusterReading[], kind: 'egress' | 'gateway'): StatRow[] {
  return readings.flatMap((reading) =>
    reading.processes
      .filter((process) => process.kind === kind)
      .map((process): StatRow => {
        const { name, window, usage } = process;
        const tally = tallyOf(process);
        const of = {
          namespace: '',
          kind,
          name,
          cluster: reading.cluster,
          side: kind,
          window_s: Math.round(window?.ms ?? 0) / 1e3,
          from: fromOf(
            {
              ...reading,
              processes: [process],
            },
            kind,
          ),
        };
        return {
          ...baseRow(of, tally, processVerdict(process) ?? signalsVerdict(tally)),
          workers: window?.report.workers ?? null,
          streams: streamsOf(process),
          cpu: usage?.cpu ?? null,
          memory: usage?.memory ?? null,
        };
      }),
  );
}

/** All that one process has counted; members of groups not once more. */
export function tallyOf({ window }: ProcessReading): Tally {
  const tally = new Tally();
  for (const target of window?.report.targets ?? [])
    if (!target.label.includes('@')) tally.add(target, window?.ms ?? 0);
  return tally;
}

/** Streams to gateways, of an egress. */
export function streamsOf({ kind, window }: ProcessReading): number | null {
  if (window === undefined || kind !== 'egress') return null;
  return window.report.gateways.reduce((sum, { streams }) => sum + streams, 0);
}

/** Whether the process itself is as it should be; undefined: it is. */
export function processVerdict({ ready, silence }: ProcessReading): Verdict | undefined {
  const failing = (reason: TrafficReason, message: string) => ({ failing: true, reason, message });
  if (silence !== undefined) return failing('ProcessSilent', silence);
  return ready ? undefined : failing('ProcessNotReady', 'the pod is not ready');
}
