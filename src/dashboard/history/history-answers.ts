import { firstProblem } from '../../base/config.ts';
import { z } from 'zod';
import type { Clock } from '../../base/clock.ts';
import { parseDuration } from '../../base/duration.ts';
import { rounded } from '../../traffic/tally.ts';
import {
  HISTORY_KINDS,
  HISTORY_RANGES,
  type HistoryRow,
  type HistorySeries,
  type HistoryTable,
} from '../answers.ts';
import type { PrometheusClient, Series } from './prometheus-client.ts';
import { type Questions, seriesQuestions, tableQuestions } from './history-queries.ts';

/** Most rows, and points of a series. */
const MAX_ROWS = 1000;
const POINTS = 240;
const LEAST_STEP_S = 15;
const MAX_NAME = 253;

const name = z.string().max(MAX_NAME).optional();
const asked = z.object({
  kind: z.enum(HISTORY_KINDS),
  range: z.enum(HISTORY_RANGES),
  end: z.coerce
    .number()
    .int()
    .min(0)
    .max(2 ** 33)
    .optional(),
});
const askedOne = asked.extend({
  namespace: name,
  name,
  source: name,
  side: z.enum(['egress', 'gateway']).optional(),
});

/** Answers what pages ask about the past. */
export class HistoryAnswers {
  readonly #prometheus: PrometheusClient;
  readonly #clock: Clock;

  constructor(prometheus: PrometheusClient, clock: Clock) {
    this.#prometheus = prometheus;
    this.#clock = clock;
  }

  /** @throws RangeError for what is asked wrongly; LinkspanError PROMETHEUS_… */
  async table(query: URLSearchParams, signal: AbortSignal): Promise<HistoryTable> {
    const { kind, range, end } = read(asked, query);
    const to = end ?? Math.floor(this.#clock.now() / 1000);
    const seconds = secondsOf(range);
    const questions = tableQuestions(kind, seconds, MAX_ROWS);
    const ask = (text: string) => this.#prometheus.instant(text, to, signal);
    const { responses, failures, quantiles } = await answersTo(questions, ask);
    const failed = byLabels(failures);
    const times = new Map(Object.entries(quantiles).map(([q, found]) => [q, byLabels(found)]));
    const rows = responses.map(({ labels, values }): HistoryRow => {
      const key = keyOf(labels);
      const rps = last(values) ?? 0;
      const ms = (q: string) => rounded(last(times.get(q)?.get(key)?.values ?? []));
      return {
        ...namesOf(labels),
        success: rps > 0 ? rounded(1 - (last(failed.get(key)?.values ?? []) ?? 0) / rps, 1e6) : null,
        rps: rounded(rps),
        latency_ms_p50: ms('0.5'),
        latency_ms_p95: ms('0.95'),
        latency_ms_p99: ms('0.99'),
      };
    });
    return { kind, from: to - seconds, to, cut: rows.length >= MAX_ROWS, rows };
  }

  /** @throws as `table` */
  async series(query: URLSearchParams, signal: AbortSignal): Promise<HistorySeries> {
    const { kind, range, end, ...selected } = read(askedOne, query);
    const seconds = secondsOf(range);
    const step = Math.max(LEAST_STEP_S, Math.ceil(seconds / POINTS));
    // On the dot of steps: what is asked again a moment later has the same points.
    const to = Math.floor((end ?? this.#clock.now() / 1000) / step) * step;
    const from = to - Math.floor(seconds / step) * step;
    const questions = seriesQuestions(kind, selected, step);
    const ask = (text: string) => this.#prometheus.range(text, { from, to, step }, signal);
    const { responses, failures, quantiles } = await answersTo(questions, ask);
    const at = Array.from({ length: (to - from) / step + 1 }, (_, nth) => from + nth * step);
    const column = (found: readonly Series[]) => {
      const values = new Map(found[0]?.values);
      return at.map((time) => values.get(time));
    };
    const [rates, failed] = [column(responses), column(failures)];
    const whole = (values: readonly (number | undefined)[]) => values.map((value) => rounded(value));
    return {
      from,
      to,
      step,
      at,
      rps: whole(rates),
      success: rates.map((rps, nth) =>
        rps === undefined || !(rps > 0) ? null : rounded(1 - (failed[nth] ?? 0) / rps, 1e6),
      ),
      p50: whole(column(quantiles['0.5'] ?? [])),
      p99: whole(column(quantiles['0.99'] ?? [])),
    };
  }
}

interface Answers {
  readonly responses: readonly Series[];
  readonly failures: readonly Series[];
  readonly quantiles: Readonly<Record<string, readonly Series[]>>;
}

async function answersTo(
  { responses, failures, quantiles }: Questions,
  ask: (text: string) => Promise<Series[]>,
): Promise<Answers> {
  const [all, failed, ...times] = await Promise.all([
    ask(responses),
    ask(failures),
    ...Object.values(quantiles).map(ask),
  ]);
  const found = Object.keys(quantiles).map((q, nth) => [q, times[nth] ?? []] as const);
  return { responses: all, failures: failed, quantiles: Object.fromEntries(found) };
}

function read<S extends z.ZodType>(schema: S, query: URLSearchParams): z.output<S> {
  const parsed = schema.safeParse(Object.fromEntries([...query].filter(([, value]) => value !== '')));
  if (parsed.success) return parsed.data;
  throw new RangeError(firstProblem(parsed.error));
}

function secondsOf(range: string): number {
  return (parseDuration(range) ?? 0) / 1000;
}

function namesOf(
  labels: Series['labels'],
): Pick<HistoryRow, 'cluster' | 'name' | 'namespace' | 'side' | 'source'> {
  const {
    cluster: source = '',
    component,
    dst_namespace: namespace = '',
    dst_service,
    dst_target_cluster,
  } = labels;
  const there = dst_target_cluster ?? '';
  const side = component === 'gateway' ? 'gateway' : 'egress';
  return { source, namespace, name: dst_service ?? (there || source), cluster: there, side };
}

function keyOf(labels: Series['labels']): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function byLabels(found: readonly Series[]): Map<string, Series> {
  return new Map(found.map((one) => [keyOf(one.labels), one]));
}

function last(values: Series['values']): number | undefined {
  const value = values.at(-1)?.[1];
  return value === undefined || !Number.isFinite(value) ? undefined : value;
}
