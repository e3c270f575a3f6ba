import { backoffDelay, type Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { ProtobufError } from '../../base/protobuf.ts';
import type { Logger } from '../log.ts';
import { exportRequest, readExportResponse, type TraceResource } from './otlp.ts';
import { OtlpPost, type Posted } from './otlp-post.ts';
import type { OtlpSettings } from './otlp-settings.ts';
import { NO_SPANS, type SpanCounts } from './span-counts.ts';

/** Most spans of a batch (OpenTelemetry's default). */
const BATCH = 512;
/** Most spans, and most of their bytes, that wait or are on their way; further ones are dropped. */
const MAX_WAITING = 2048;
const MAX_WAITING_BYTES = 2 * 1024 * 1024;
/** How often a batch is sent before it is dropped. */
const MAX_TRIES = 5;
const PAUSE = { minMs: 1000, maxMs: 30_000 } as const;
/** Longest time that is waited because a collector asks for it, milliseconds. */
const MAX_PAUSE_MS = 60_000;
/** What may be better later (OTLP specification). */
const RETRIED: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** Default of `close`, milliseconds. */
const FLUSH_MS = 2000;

export interface SpanExporterOptions {
  readonly settings: OtlpSettings;
  readonly resource: TraceResource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * Sends spans to a collector in batches. It never blocks whoever adds spans and never holds more than a
 * bounded number of them: with a collector that is slow or gone spans are dropped and counted, and nothing
 * else happens.
 */
export class SpanExporter {
  readonly #options: SpanExporterOptions;
  readonly #post: OtlpPost;
  readonly #counts = { ...NO_SPANS };
  readonly #ending = new AbortController();
  readonly #closing = new AbortController();
  #queue: Buffer[] = [];
  /** Spans, and their bytes, that wait or are on their way. */
  #held = 0;
  #heldBytes = 0;
  #timer: Timer | undefined;
  #sending: Promise<void> | undefined;
  #closed = false;
  #failing = false;
  #toldPartial = false;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
    this.#post = new OtlpPost(options.settings, options.clock);
  }

  get counts(): SpanCounts {
    return { ...this.#counts };
  }

  /** There were too many spans to make this one. */
  capped(): void {
    this.#counts.capped++;
  }

  /** @param span as `encodeSpan` makes it */
  add(span: Buffer): void {
    if (this.#closed) {
      this.#counts.failed++;
      return;
    }
    if (this.#held >= MAX_WAITING || this.#heldBytes + span.length > MAX_WAITING_BYTES) {
      this.#counts.queue_full++;
      return;
    }
    this.#held++;
    this.#heldBytes += span.length;
    this.#queue.push(span);
    if (this.#queue.length >= BATCH) this.#begin();
    else
      this.#timer ??= this.#options.clock.after(
        this.#options.settings.delayMs,
        () => {
          this.#timer = undefined;
          this.#begin();
        },
        { unref: true },
      );
  }

  /**
   * Sends what waits, and drops what could not be sent in time.
   * @param withinMs milliseconds
   */
  async close(withinMs = FLUSH_MS): Promise<void> {
    const { clock } = this.#options;
    const late = new Error('the process ends');
    // Keeps the process alive: whoever waits for this must not end with it while it pauses between tries.
    const timer = clock.after(withinMs, () => this.#ending.abort(late));
    this.#closing.abort(late);
    this.#begin();
    // A batch that was under way knows nothing of what has come since.
    while (this.#sending !== undefined) await this.#sending;
    this.#closed = true;
    timer.cancel();
    this.#timer?.cancel();
    this.#post.close();
  }

  #begin(): void {
    if (this.#sending !== undefined) return;
    this.#sending = this.#sendAll().finally(() => {
      this.#sending = undefined;
      if (this.#closing.signal.aborted && this.#queue.length > 0) this.#begin();
    });
  }

  /** Sends all full batches, and one that is not full. Never rejects. */
  async #sendAll(): Promise<void> {
    do {
      const batch = this.#queue.splice(0, BATCH);
      if (batch.length === 0) return;
      await this.#deliver(batch);
      this.#held -= batch.length;
      for (const { length } of batch) this.#heldBytes -= length;
    } while (this.#queue.length >= BATCH);
  }

  async #deliver(batch: readonly Buffer[]): Promise<void> {
    const request = exportRequest(this.#options.resource, batch);
    for (let tries = 1; ; tries++) {
      const posted = await this.#post.send(request, this.#ending.signal);
      if (posted.kind === 'taken') return this.#taken(batch.length, posted.answer);
      const last = tries >= MAX_TRIES || this.#ending.signal.aborted;
      if (last || !mayBeBetterLater(posted)) {
        this.#counts.failed += batch.length;
        return this.#failed(posted);
      }
      await this.#pause(posted, tries);
    }
  }

  /** Waits before the next try; once the process ends, not for long. */
  async #pause(posted: Posted, tries: number): Promise<void> {
    const { clock, random } = this.#options;
    const asked = posted.kind === 'refused' ? (posted.retryAfterMs ?? 0) : 0;
    const ms = Math.max(backoffDelay(tries - 1, PAUSE, random), Math.min(asked, MAX_PAUSE_MS));
    // The end of the process ends it; then it is tried again soon.
    if (this.#closing.signal.aborted) await pause(clock, LAST_PAUSE_MS, this.#ending.signal);
    else await pause(clock, ms, this.#closing.signal);
  }

  #taken(spans: number, answer: Buffer): void {
    const { log } = this.#options;
    if (this.#failing) log.info('spans are exported again');
    this.#failing = false;
    const partial = readAnswer(answer);
    const rejected = Math.min(spans, Math.max(0, partial?.rejected ?? 0));
    this.#counts.rejected += rejected;
    this.#counts.exported += spans - rejected;
    if (partial === undefined || this.#toldPartial) return;
    this.#toldPartial = true;
    log.warn(
      { rejected, reason: partial.message.slice(0, MAX_REASON) },
      'the collector has not taken all spans',
    );
  }

  #failed(posted: Exclude<Posted, { kind: 'taken' }>): void {
    if (this.#failing) return;
    this.#failing = true;
    const { log, settings } = this.#options;
    const why = posted.kind === 'refused' ? { status: posted.status } : { err: posted.error };
    log.warn({ collector: settings.url.host, ...why }, 'spans cannot be exported, they are dropped');
  }
}

const LAST_PAUSE_MS = 100;
/** Longest text of a collector that is logged. */
const MAX_REASON = 256;

function mayBeBetterLater(posted: Exclude<Posted, { kind: 'taken' }>): boolean {
  return posted.kind === 'lost' || RETRIED.has(posted.status);
}

function readAnswer(answer: Buffer): ReturnType<typeof readExportResponse> {
  try {
    return readExportResponse(answer);
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    return { rejected: 0, message: 'the answer is no ExportTraceServiceResponse' };
  }
}

/** Waits, at most until the signal is aborted, without keeping the process alive. */
function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      timer.cancel();
      signal.removeEventListener('abort', over);
      resolve();
    };
    const timer = clock.after(ms, over, { unref: true });
    signal.addEventListener('abort', over, { once: true });
  });
}
