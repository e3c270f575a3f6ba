import {
  TAP_ENDS,
  type TapEnd,
  type TapEvent,
  type TapFilter,
  type TapFlow,
} from '../api/answers/tap-events.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { EventRing } from './event-ring.ts';
import { TapLosses } from './tap-losses.ts';
import type { TapSink } from './tap.ts';
import { tapBucket, admits } from './tap-rate.ts';
import type { TapVerdict } from './tap-access.ts';
import type { TapRule } from './tap-rules.ts';

/** How often somebody who sees nothing hears that the tap is alive, milliseconds. */
const ALIVE_MS = 15_000;
/** How often it is told how many are missing, milliseconds. */
const LOST_MS = 1000;
/** Events that are looked up at a time. */
const AT_ONCE = 16;
/** About how many lines are handed out together: more may come while they are looked up. */
const TOGETHER = 256;

/**
 * What became of events, over all sessions of a process. Of sessions that ask by path only what was sent
 * counts: numbers that anybody can read would say which paths are asked for.
 */
export interface TapCounts {
  /** They have been written. */
  sent: number;
  /** There were more than the rate. */
  limited: number;
  /** Nobody took them in time. */
  dropped: number;
  /** A Service or Namespace does not let them be seen. */
  hidden: number;
}

/** What a session needs. */
export interface TapSessionOptions {
  readonly filter: TapFilter;
  readonly clock: Clock;
  readonly counts: TapCounts;
  /** Whether paths are shown at all. */
  readonly paths: boolean;
  readonly ruleOf: (target: TapFlow['target']) => Promise<TapRule>;
  /** Asks again whether the account may look. */
  readonly mayGoOn: () => Promise<TapVerdict>;
  /** Until when the answer holds by which it was let in (monotonic milliseconds). */
  readonly mayUntil: number;
}

/** Why a session has ended: an end that is told, or the reader has gone. */
export type SessionEnd = TapEnd | 'reader gone';

/**
 * One who looks: events wait here until they are taken, are checked against what Services and Namespaces say
 * of it, and become lines. It ends by itself when its time is over or the account may not look any more.
 */
export class TapSession implements TapSink {
  readonly #options: TapSessionOptions;
  readonly #ring = new EventRing<TapFlow>();
  readonly #losses = new TapLosses();
  readonly #bucket;
  readonly #timers = new Set<Timer>();
  #wake: () => void = () => undefined;
  #ended: SessionEnd | undefined;
  #message: string | undefined;
  /** Long ago: whoever asks hears at once that it has begun. */
  #wroteAt = -Infinity;
  #toldLostAt = -Infinity;
  #sent = 0;

  constructor(options: TapSessionOptions) {
    const { filter } = options;
    this.#options = options;
    this.#bucket = tapBucket(filter);
    this.#after(filter.forMs, () => this.end('time is over'));
    this.#checkAt(options.mayUntil);
  }

  /** Events that have been written. */
  get sent(): number {
    return this.#sent;
  }

  get ended(): SessionEnd | undefined {
    return this.#ended;
  }

  event(event: TapFlow): void {
    if (this.#ended !== undefined) return;
    // Each of several processes keeps to the rate, and here all do together.
    if (!admits(this.#bucket, this.#options.clock.monotonic())) return this.lost(event.target, 1);
    const gone = this.#ring.put(event);
    if (gone !== undefined) {
      this.#count('dropped', 1);
      this.#losses.add(gone.target, 1);
    }
    this.#wake();
  }

  lost(target: TapFlow['target'], count: number): void {
    this.#count('limited', count);
    this.#losses.add(target, count);
  }

  #count(result: Exclude<keyof TapCounts, 'sent'>, count: number): void {
    const { filter, counts } = this.#options;
    if (filter.path === undefined) counts[result] += count;
  }

  /** The first end counts. */
  end(why: SessionEnd, message?: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    this.#message = message;
    for (const timer of this.#timers) timer.cancel();
    this.#wake();
  }

  /** The lines, as they come; ends with the session. */
  async *lines(): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const ended = this.#ended;
        if (ended === 'reader gone') return;
        const lines = await this.#waiting(ended !== undefined);
        if (lines.length > 0) yield this.#written(lines);
        if (ended !== undefined) {
          yield this.#written([lineOf(endOf(ended, this.#message))]);
          return;
        }
        if (this.#ring.length === 0 && this.#ended === undefined) await this.#news();
      }
    } finally {
      this.end('reader gone');
    }
  }

  #written(lines: readonly string[]): Buffer {
    this.#wroteAt = this.#options.clock.monotonic();
    return Buffer.from(lines.join(''));
  }

  /** @param last nothing comes after this */
  async #waiting(last: boolean): Promise<string[]> {
    const { clock, counts } = this.#options;
    const lines: string[] = [];
    const most = last ? Infinity : TOGETHER;
    while (this.#ring.length > 0 && lines.length < most)
      for (const shown of await Promise.all(this.#take().map((event) => this.#shown(event)))) {
        if (shown === undefined) {
          this.#count('hidden', 1);
          continue;
        }
        counts.sent++;
        this.#sent++;
        lines.push(lineOf(shown));
      }
    const now = clock.monotonic();
    if (last || now - this.#toldLostAt >= LOST_MS) {
      const count = await this.#toldLosses();
      if (count > 0) {
        this.#toldLostAt = now;
        lines.push(lineOf({ v: 1, type: 'lost', count }));
      }
    }
    if (lines.length === 0 && now - this.#wroteAt >= ALIVE_MS) lines.push(lineOf({ v: 1, type: 'alive' }));
    return lines;
  }

  /** A few events: an API server that is slow is asked about their targets at once. */
  #take(): TapFlow[] {
    const some: TapFlow[] = [];
    while (some.length < AT_ONCE) {
      const event = this.#ring.take();
      if (event === undefined) break;
      some.push(event);
    }
    return some;
  }

  /** The event as it may be seen; undefined: not at all. */
  async #shown(event: TapFlow): Promise<TapFlow | undefined> {
    const shown = await this.#shownOf(event.target);
    if (shown === 'nothing') return undefined;
    if (shown === 'all') return event;
    const { path: _, ...rest } = event;
    return rest;
  }

  /** How many were lost of targets of which something may be seen. */
  async #toldLosses(): Promise<number> {
    // All at once: each may take as long as the API server does.
    const told = this.#losses.take().map(async ({ target, count }) => {
      return (await this.#shownOf(target)) === 'nothing' ? 0 : count;
    });
    return (await Promise.all(told)).reduce((sum, count) => sum + count, 0);
  }

  /** What may be seen of the events of a target. */
  async #shownOf(target: TapFlow['target']): Promise<'all' | 'no-paths' | 'nothing'> {
    const { paths, filter, ruleOf } = this.#options;
    const rule = await ruleOf(target);
    if (rule === 'all' && paths) return 'all';
    // Whoever asks for a path and gets an event would know the path.
    return rule === 'off' || filter.path !== undefined ? 'nothing' : 'no-paths';
  }

  /** Until there is an event, an end, something lost to tell, or it is time to say that all is well. */
  async #news(): Promise<void> {
    const { clock } = this.#options;
    const left = this.#wroteAt + ALIVE_MS - clock.monotonic();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = clock.after(Math.max(0, left), resolve, { unref: true });
    await promise;
    timer.cancel();
  }

  /** An answer that others have asked for is older than this session. */
  #checkAt(until: number): void {
    this.#after(Math.max(0, until - this.#options.clock.monotonic()), () => void this.#check());
  }

  async #check(): Promise<void> {
    const verdict = await this.#options.mayGoOn();
    if (verdict.ok) {
      if (this.#ended === undefined) this.#checkAt(verdict.until);
      return;
    }
    const ends = { 401: 'token expired', 403: 'right withdrawn' } as const;
    const why = verdict.status === 401 || verdict.status === 403 ? ends[verdict.status] : 'right not known';
    this.end(why, verdict.message);
  }

  #after(ms: number, work: () => void): void {
    const timer: Timer = this.#options.clock.after(
      ms,
      () => {
        this.#timers.delete(timer);
        work();
      },
      { unref: true },
    );
    this.#timers.add(timer);
  }
}

function endOf(why: TapEnd, message: string | undefined): TapEvent {
  return { v: 1, type: 'end', why, message: message ?? TAP_ENDS[why] };
}

function lineOf(event: TapEvent): string {
  return `${JSON.stringify(event)}\n`;
}
