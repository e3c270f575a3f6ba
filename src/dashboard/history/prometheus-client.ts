import { firstProblem } from '../../base/config.ts';
import { z } from 'zod';
import { codeOf, LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { KubeApiError, type KubeClient } from '../../kube/client/kube-client.ts';

/** How long a question may take there, and until its answer is here, milliseconds. */
const QUERY_MS = 10_000;
const ANSWER_MS = 15_000;
/** Most series that are read, and points of each. */
export const MAX_SERIES = 2000;
const MAX_POINTS = 2000;

const sample = z.tuple([z.number(), z.string().max(64)]);
const metric = z.record(z.string().max(256), z.string().max(1024));
const answer = z.object({
  status: z.literal('success'),
  data: z.discriminatedUnion('resultType', [
    z.object({
      resultType: z.literal('vector'),
      result: z.array(z.object({ metric, value: sample })).max(MAX_SERIES),
    }),
    z.object({
      resultType: z.literal('matrix'),
      result: z.array(z.object({ metric, values: z.array(sample).max(MAX_POINTS) })).max(MAX_SERIES),
    }),
  ]),
});
const failure = z.object({ errorType: z.string().max(64), error: z.string() });
/** Longest part of Prometheus' own words that is shown. */
const MAX_WORDS = 300;

/** One series: its labels, and numbers by time (seconds since the epoch). */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [at: number, value: number])[];
}

/** The span of a question, seconds since the epoch. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

/** A Prometheus, at its own address or behind an API server's service proxy. */
export class PrometheusClient {
  readonly #client: KubeClient;
  readonly #path: string;

  /** @param path in front of `/api/v1/…` */
  constructor(client: KubeClient, path = '') {
    this.#client = client;
    this.#path = path;
  }

  /** The value now, or at a time. @throws LinkspanError PROMETHEUS_REFUSED, PROMETHEUS_TIMEOUT */
  instant(query: string, at: number, signal: AbortSignal): Promise<Series[]> {
    return this.#ask('query', { query, time: String(at) }, signal);
  }

  /** The values in a span. @throws as `instant` */
  range(query: string, { from, to, step }: Span, signal: AbortSignal): Promise<Series[]> {
    const span = { start: String(from), end: String(to), step: String(step) };
    return this.#ask('query_range', { query, ...span }, signal);
  }

  async #ask(kind: string, parameters: Record<string, string>, signal: AbortSignal): Promise<Series[]> {
    const asked = new URLSearchParams({ ...parameters, timeout: `${QUERY_MS}ms` });
    const path = `${this.#path}/api/v1/${kind}?${asked.toString()}`;
    const late = AbortSignal.timeout(ANSWER_MS);
    try {
      return seriesOf(await this.#client.raw('GET', path, { signal: AbortSignal.any([signal, late]) }));
    } catch (error) {
      throw late.aborted ? tooLate(error) : refused(error);
    }
  }
}

function seriesOf(body: unknown): Series[] {
  const parsed = answer.safeParse(body);
  if (!parsed.success)
    throw new LinkspanError(
      'PROMETHEUS_REFUSED',
      `what came is no answer of Prometheus: ${firstProblem(parsed.error)}`,
    );
  const { data } = parsed.data;
  if (data.resultType === 'vector')
    return data.result.map((one) => ({ labels: one.metric, values: [numbers(one.value)] }));
  return data.result.map((one) => ({ labels: one.metric, values: one.values.map(numbers) }));
}

function numbers([at, text]: readonly [number, string]): readonly [number, number] {
  return [at, Number(text)];
}

function tooLate(cause: unknown): LinkspanError {
  return new LinkspanError('PROMETHEUS_TIMEOUT', `Prometheus has not answered within ${ANSWER_MS / 1000} s`, {
    cause,
  });
}

/** Its own words where it has some; what it says of time is told apart, as less can be asked for. */
function refused(error: unknown): unknown {
  if (codeOf(error) === 'PROMETHEUS_REFUSED') return error;
  const said = error instanceof KubeApiError ? wordsIn(error.answer) : undefined;
  if (said?.errorType === 'timeout' || said?.errorType === 'canceled')
    return new LinkspanError('PROMETHEUS_TIMEOUT', `Prometheus: ${said.error.slice(0, MAX_WORDS)}`);
  const own = error instanceof KubeApiError ? `HTTP ${error.status}: ${error.answer}` : messageOf(error);
  const words = said === undefined ? own : `${said.errorType}: ${said.error}`;
  return new LinkspanError('PROMETHEUS_REFUSED', `Prometheus: ${words.slice(0, MAX_WORDS)}`, {
    cause: error,
  });
}

function wordsIn(text: string): z.infer<typeof failure> | undefined {
  try {
    return failure.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
