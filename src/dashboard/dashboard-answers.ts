import { LinkspanError, messageOf } from '../api/errors/linkspan-error.ts';
import { isForbidden, isNotFound } from '../kube/client/kube-client.ts';
import type { ErrorAnswer, HistorySeries, HistoryTable, ReasonsAnswer, ServiceAnswer } from './answers.ts';
import type { ErrorWords } from './snapshot.ts';

/** What a stream says. */
export interface LiveEvent {
  readonly event: string;
  readonly data: object;
}

/** Where answers come from beside the feed. What is thrown is told to the page. */
export interface AnswerSource {
  reasons(): ReasonsAnswer;
  service(query: URLSearchParams, signal: AbortSignal): Promise<ServiceAnswer>;
  tap(query: URLSearchParams, signal: AbortSignal): AsyncIterable<LiveEvent>;
  top(query: URLSearchParams, signal: AbortSignal): AsyncIterable<LiveEvent>;
  /** Undefined: there is no Prometheus. */
  readonly history:
    | {
        table(query: URLSearchParams, signal: AbortSignal): Promise<HistoryTable>;
        series(query: URLSearchParams, signal: AbortSignal): Promise<HistorySeries>;
      }
    | undefined;
}

/** An error in words for the page. */
export function errorWords(error: unknown): ErrorWords {
  if (error instanceof RangeError)
    return { code: 'CONFIG_INVALID', message: error.message, advice: 'Correct what is asked for.' };
  if (!(error instanceof LinkspanError))
    return { code: 'INTERNAL_ERROR', message: messageOf(error), advice: '' };
  return { code: error.code, message: error.message, advice: error.hint };
}

export function errorAnswer(error: unknown): ErrorAnswer {
  return { error: errorWords(error) };
}

/** HTTP's word for it. */
export function statusOf(error: unknown): number {
  if (error instanceof RangeError) return 400;
  if (isForbidden(error)) return 403;
  if (isNotFound(error)) return 404;
  if (!(error instanceof LinkspanError)) return 500;
  return STATUS[error.code] ?? 502;
}

const STATUS: Readonly<Record<string, number>> = {
  CONFIG_INVALID: 400,
  USAGE: 400,
  STATS_FORBIDDEN: 403,
  TAP_REFUSED: 403,
  KUBE_TIMEOUT: 504,
  PROMETHEUS_TIMEOUT: 504,
};
