import { Exposition, type MetricFamily } from '../exposition.ts';
import type { Registry } from '../registry.ts';

/** What became of spans; all only grow. */
export interface SpanCounts {
  /** The collector has taken them. */
  readonly exported: number;
  /** The collector could not be reached, or refused the batch. */
  readonly failed: number;
  /** The collector took the batch without them. */
  readonly rejected: number;
  /** There were too many that waited. */
  readonly queue_full: number;
  /** There were too many in that second. */
  readonly capped: number;
}

export const NO_SPANS: SpanCounts = { exported: 0, failed: 0, rejected: 0, queue_full: 0, capped: 0 };

/** The sum of two processes' numbers. */
export function addSpanCounts(a: SpanCounts, b: SpanCounts): SpanCounts {
  return {
    exported: a.exported + b.exported,
    failed: a.failed + b.failed,
    rejected: a.rejected + b.rejected,
    queue_full: a.queue_full + b.queue_full,
    capped: a.capped + b.capped,
  };
}

/** Their metric; `docs/reference/metrics.md` lists it too. */
export const spansFamily = {
  name: 'linkspan_spans_total',
  type: 'counter',
  labels: ['result'],
  help: 'Spans of traces by what became of them: exported, or left out and why.',
} as const satisfies MetricFamily;

export function writeSpanCounts(out: Exposition, counts: SpanCounts): void {
  out.write(
    spansFamily,
    Object.entries(counts).map(([result, count]) => [{ result }, count as number] as const),
  );
}

/** Publishes them; read at each scrape. */
export function publishSpans(registry: Registry, source: { readonly counts: SpanCounts }): void {
  registry.addText(() => {
    const out = new Exposition();
    writeSpanCounts(out, source.counts);
    return out.pieces();
  });
}
