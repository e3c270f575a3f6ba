import type { CoreV1Event, V1ObjectReference } from '@kubernetes/client-node';
import { sleep, type Clock } from '../../base/clock.ts';
import type { Logger } from '../../telemetry/log.ts';
import { isNotFound, type KubeClient } from '../client/kube-client.ts';
import { events } from '../../api/kubernetes/resource.ts';

/** What an Event says to whoever looks at an object (`kubectl describe`). */
export interface EventNote {
  readonly regarding: V1ObjectReference;
  readonly type: 'Normal' | 'Warning';
  /** A reason constant (docs/reference/reasons.md). */
  readonly reason: string;
  readonly message: string;
}

/** Who writes Events, and where. */
export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, 'create' | 'patch'>;
  /** Which program says it. */
  readonly component: string;
  /** Which replica of it. */
  readonly instance: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Most notes that wait to be written; beyond it the oldest are dropped, since Events are best effort. */
const MAX_WAITING = 500;
/**
 * Writes a second, and the burst that may follow a quiet time. Bounded because Events share the API server's
 * limits with the writes that do the work.
 */
const RATE = 20;
/** The same note within this time raises the count of the Event that is there instead of making another. */
const AGGREGATE_MS = 600_000;
/** Most Events that are remembered for that; also most namespaces in `#refused`. */
const MAX_REMEMBERED = 2000;
/**
 * How long `failure` reports a note that was not written: as long as Kubernetes would have kept the Event.
 */
const FAILURE_KEPT_MS = 3_600_000;
/** While notes go on being dropped, how often the log says so. */
const DROPPED_LOG_MS = 60_000;

/** An Event that was written, whose count may still be raised. */
interface WrittenEvent {
  readonly name: string;
  count: number;
  /** When it is no longer counted on (monotonic milliseconds). */
  readonly until: number;
}

/** A note that is to be written, and how often it came. */
interface Waiting {
  readonly note: EventNote;
  count: number;
}

/**
 * Writes core/v1 Events in order, one at a time, at most 20 a second, never failing its caller. The same
 * thing said again about the same object raises a count: before it is written, and for ten minutes after.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #waiting = new Map<string, Waiting>();
  readonly #written = new Map<string, WrittenEvent>();
  /**
   * Namespaces where the last write failed, which the log has been told: further failures are logged as
   * debug.
   */
  readonly #refused = new Set<string>();
  #writing: Promise<void> | undefined;
  /** Ends the write under way and the waits when `flush` gives up. */
  #giveUp = new AbortController();
  #serial = 0;
  /** The token bucket: how many writes are free now, as of `#filledAt` (monotonic). */
  #tokens = RATE;
  #filledAt: number;
  #failures = 0;
  #failure: { readonly error: Error; readonly at: number } | undefined;
  #dropped = 0;
  #droppedSince = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#filledAt = options.clock.monotonic();
  }

  /** How many notes were not written: the API server refused them, or there were more than can be written. */
  get failures(): number {
    return this.#failures;
  }

  /** Why the last note was not written, if that was within the last hour; undefined: it was written. */
  get failure(): Error | undefined {
    if (this.#failure === undefined) return undefined;
    const { error, at } = this.#failure;
    return this.#options.clock.monotonic() - at < FAILURE_KEPT_MS ? error : undefined;
  }

  /** How many different notes wait to be written. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Has a note written soon. Returns at once and never throws; failures are logged and counted. */
  record(note: EventNote): void {
    const key = keyOfNote(note);
    const same = this.#waiting.get(key);
    if (same !== undefined) {
      same.count++;
      return;
    }
    if (this.#waiting.size >= MAX_WAITING) this.#dropOldest();
    this.#waiting.set(key, { note, count: 1 });
    this.#writing ??= this.#drain();
  }

  /**
   * Resolves when everything recorded so far has been written or given up; what is not written after
   * `withinMs` (default 3 s) is dropped.
   */
  async flush(withinMs = 3000): Promise<void> {
    const writing = this.#writing;
    if (writing === undefined) return;
    const timer = this.#options.clock.after(withinMs, () => {
      for (const { count } of this.#waiting.values()) this.#countDropped(count);
      this.#waiting.clear();
      this.#giveUp.abort(new Error('given up'));
    });
    await writing;
    timer.cancel();
  }

  async #drain(): Promise<void> {
    // Begins when the caller's turn is over, so that equal notes of one burst are one Event with a count.
    await Promise.resolve();
    const { signal } = this.#giveUp;
    while (this.#waiting.size > 0) {
      await this.#untilMayWrite(signal);
      // Taken only now, so that equal notes that come during the wait are counted.
      const [next] = this.#waiting;
      if (next === undefined) break;
      const [key, waiting] = next;
      this.#waiting.delete(key);
      await this.#tryToWrite(key, waiting, signal);
      this.#logDropped(this.#waiting.size === 0);
    }
    this.#logDropped(true);
    if (signal.aborted) this.#giveUp = new AbortController();
    this.#writing = undefined;
  }

  /** Takes one token from the bucket, waiting for it where there is none. */
  async #untilMayWrite(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const now = clock.monotonic();
    this.#tokens = Math.min(RATE, this.#tokens + ((now - this.#filledAt) * RATE) / 1000);
    this.#filledAt = now;
    this.#tokens -= 1;
    if (this.#tokens >= 0) return;
    await sleep(clock, (-this.#tokens * 1000) / RATE, signal).catch(() => undefined);
  }

  async #tryToWrite(key: string, { note, count }: Waiting, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const namespace = namespaceOf(note);
    try {
      await this.#write(key, { note, count }, signal);
      this.#refused.delete(namespace);
      this.#failure = undefined;
    } catch (error) {
      const level = this.#refused.has(namespace) || signal.aborted ? 'debug' : 'warn';
      if (this.#refused.size < MAX_REMEMBERED) this.#refused.add(namespace);
      this.#failures += count;
      this.#failure = { error: error as Error, at: this.#options.clock.monotonic() };
      log[level]({ namespace, reason: note.reason, err: error }, 'event not written');
    }
  }

  async #write(key: string, waiting: Waiting, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#options;
    const { note } = waiting;
    const namespace = namespaceOf(note);
    const now = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const written = this.#written.get(key);
    if (written !== undefined && clock.monotonic() < written.until) {
      written.count += waiting.count;
      const change = { count: written.count, lastTimestamp: now };
      try {
        await client.patch(events, { namespace, name: written.name }, change, { type: 'merge', signal });
        return;
      } catch (error) {
        // Somebody has deleted the Event, perhaps with its namespace: a new one is made.
        if (!isNotFound(error)) throw error;
        this.#written.delete(key);
      }
    }
    const name = `${(note.regarding.name ?? 'event').slice(0, 200)}.${clock.now().toString(16)}${(this.#serial++).toString(16)}`;
    await client.create(events, this.#event(waiting, { namespace, name }, now), { signal });
    if (this.#written.size >= MAX_REMEMBERED) this.#written.delete(this.#written.keys().next().value ?? '');
    this.#written.set(key, { name, count: waiting.count, until: clock.monotonic() + AGGREGATE_MS });
  }

  #event({ note, count }: Waiting, metadata: { namespace: string; name: string }, now: string): CoreV1Event {
    const { component, instance } = this.#options;
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata,
      involvedObject: note.regarding,
      type: note.type,
      reason: note.reason,
      message: note.message.slice(0, 1024),
      count,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component },
      reportingComponent: component,
      reportingInstance: instance,
    };
    // The client's types have Dates where the wire has RFC 3339 text.
    return event as unknown as CoreV1Event;
  }

  #dropOldest(): void {
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    this.#waiting.delete(oldest[0]);
    this.#countDropped(oldest[1].count);
  }

  #countDropped(count: number): void {
    if (this.#dropped === 0) this.#droppedSince = this.#options.clock.monotonic();
    this.#dropped += count;
    this.#failures += count;
  }

  /** @param over nothing waits any more: otherwise the log is told now and then only */
  #logDropped(over: boolean): void {
    const { clock, log } = this.#options;
    if (this.#dropped === 0 || (!over && clock.monotonic() - this.#droppedSince < DROPPED_LOG_MS)) return;
    log.warn({ dropped: this.#dropped }, 'events dropped: there were more than can be written');
    this.#dropped = 0;
  }
}

function namespaceOf({ regarding }: EventNote): string {
  return regarding.namespace ?? 'default';
}

function keyOfNote({ regarding, type, reason, message }: EventNote): string {
  const { kind, namespace, name, uid } = regarding;
  return JSON.stringify([kind, namespace, name, uid, type, reason, message]);
}
