import type { Exposition, LabelValues, MetricFamily } from '../../telemetry/exposition.ts';
import { OTHER } from './connection-counters.ts';
import type { CountersView } from './counters-view.ts';
import { exemplarsOf } from './exemplars.ts';
import { type LatencyFormat, TARGET_LABELS } from './exposition-labels.ts';
import { LATENCY_BUCKETS, readResponseKey, type ResponseNumbers } from './histogram.ts';

/** The latency of targets. `docs/reference/metrics.md` lists the same. */
export const latencyFamilies = {
  latency: {
    name: 'response_latency_ms',
    type: 'histogram',
    labels: [...TARGET_LABELS, 'status_code', 'le'],
    help: 'Time to the first byte of a response, milliseconds.',
  },
  latencyNative: {
    name: 'linkspan_response_latency_ms',
    type: 'histogram',
    labels: TARGET_LABELS,
    help: 'Time to the first byte of a response, milliseconds; a native histogram.',
  },
} as const satisfies Record<string, MetricFamily>;

/** Writes them, in protobuf with the traces of some requests as exemplars. */
export function writeLatency(
  out: Exposition,
  { targets, examples }: Pick<CountersView, 'targets' | 'examples'>,
  { dst, format }: { readonly dst: (label: string) => LabelValues; readonly format: LatencyFormat },
): void {
  const exemplars = exemplarsOf(examples);
  const labelled = () =>
    Iterator.from(targets).map(
      ([label, counters]) => [label, { direction: 'outbound', ...dst(label) }, counters] as const,
    );
  out.writeHistogram(
    latencyFamilies.latency,
    LATENCY_BUCKETS,
    labelled().flatMap(([label, labels, { responses }]) =>
      [...byStatus(responses)].map(
        ([status, { buckets, latencySum }]) =>
          [
            { ...labels, status_code: status === 0 ? OTHER : status },
            { buckets, sum: latencySum, exemplars: exemplars(label, status) },
          ] as const,
      ),
    ),
    format === 'native' ? 'text' : 'all',
  );
  if (format === 'classic') return;
  out.writeNative(
    latencyFamilies.latencyNative,
    labelled().flatMap(([label, labels, { latency }]) => {
      const { schema, offset, counts, sumMs: sum } = latency.span;
      const numbers = { schema, offset, counts, sum, exemplars: exemplars(label) };
      return counts.length === 0 ? [] : [[labels, numbers] as const];
    }),
  );
}

/** Responses of each HTTP status, all gRPC statuses together: Linkerd's latency has no label for those. */
function byStatus(
  responses: Iterable<readonly [string | number, ResponseNumbers]>,
): Map<number, ResponseNumbers> {
  const found = new Map<number, ResponseNumbers>();
  for (const [key, numbers] of responses) {
    const { status } = readResponseKey(Number(key));
    const sum = found.get(status);
    found.set(status, sum === undefined ? numbers : together(sum, numbers));
  }
  return found;
}

function together(a: ResponseNumbers, b: ResponseNumbers): ResponseNumbers {
  return {
    count: a.count + b.count,
    latencySum: a.latencySum + b.latencySum,
    buckets: a.buckets.map((count, at) => count + (b.buckets[at] ?? 0)),
  };
}
