import type { TapFilter, TapFlow } from '../api/answers/tap-events.ts';
import type { Clock, Timer } from '../base/clock.ts';
import {
  type AccessEntry,
  type AccessLog,
  entryOf,
  type LoggedFlow,
  type OpenFlow,
} from '../proxy/downstream/access-log.ts';
import type { Observers } from '../proxy/downstream/observers.ts';
import { targetOf, type TapPlaces, tapFlow } from './tap-event.ts';
import { compileFilter, compileOpenFilter } from './tap-filter.ts';
import { admits, tapBucket } from './tap-rate.ts';

/** Where what is seen goes. Neither may throw, and neither waits. */
export interface TapSink {
  event(event: TapFlow): void;
  /** So many of a target have not been told of, because there were more than the rate. */
  lost(target: TapFlow['target'], count: number): void;
}

/** The process whose flows are looked at. */
export interface TapSource extends TapPlaces {
  readonly observers: Observers;
  readonly clock: Clock;
  /** All flows that are under way now. */
  openFlows(): Iterable<OpenFlow>;
}

/**
 * After this time a flow that is still under way is told of; how often it is looked for them; milliseconds.
 */
const OPEN_MS = 1000;

/** Shows the flows of one process that a filter asks for, until it is ended. */
export class Tap implements AccessLog {
  readonly wants: AccessLog['wants'];
  readonly #source: TapSource;
  readonly #sink: TapSink;
  readonly #filter: TapFilter;
  readonly #bucket;
  readonly #wantsOpen: AccessLog['wants'];
  readonly #prefix: string;
  readonly #leave: () => void;
  /** Ids of flows that were told of while under way. */
  readonly #told = new WeakMap<LoggedFlow, string>();
  #asked: LoggedFlow | undefined;
  /** The target of which one was lost last. */
  #lostOf: { readonly label: string; readonly target: TapFlow['target'] } | undefined;
  #count = 0;
  #timer: Timer | undefined;

  /** @param prefix makes the ids of this process' flows different from those of others */
  constructor(source: TapSource, filter: TapFilter, sink: TapSink, prefix: string) {
    this.#source = source;
    this.#sink = sink;
    this.#filter = filter;
    this.#prefix = prefix;
    this.#bucket = tapBucket(filter);
    const ended = compileFilter(filter, source);
    this.#wantsOpen = compileOpenFilter(filter, source);
    this.wants = (session, flow, failure) => {
      if (!ended(session, flow, failure) || !this.#fits(session.target)) return false;
      this.#asked = flow;
      return true;
    };
    this.#leave = source.observers.add(this);
    this.#lookAgain();
  }

  /** An entry that was wanted. */
  record(entry: AccessEntry): void {
    const flow = this.#asked;
    const known = flow === undefined ? undefined : this.#told.get(flow);
    this.#tell(entry, 'flow', known ?? this.#nextId());
  }

  end(): void {
    this.#leave();
    this.#timer?.cancel();
  }

  #fits({ label }: { readonly label: string }): boolean {
    const { clock, process } = this.#source;
    if (admits(this.#bucket, clock.monotonic())) return true;
    // Thousands in a row may be of the same one.
    if (this.#lostOf?.label !== label) this.#lostOf = { label, target: targetOf(label, process) };
    this.#sink.lost(this.#lostOf.target, 1);
    return false;
  }

  #lookAgain(): void {
    this.#timer = this.#source.clock.after(
      OPEN_MS,
      () => {
        this.#lookAtOpen();
        this.#lookAgain();
      },
      { unref: true },
    );
  }

  #lookAtOpen(): void {
    const now = this.#source.clock.monotonic();
    for (const [session, flow, upstream] of this.#source.openFlows()) {
      if (now - flow.startedAt < OPEN_MS || this.#told.has(flow)) continue;
      if (!this.#wantsOpen(session, flow, undefined)) continue;
      // Nothing is lost by it: the next look finds it again.
      if (!admits(this.#bucket, now)) return;
      const id = this.#nextId();
      this.#told.set(flow, id);
      this.#tell(entryOf(session, flow, upstream), 'open', id);
    }
  }

  #nextId(): string {
    return `${this.#prefix}-${++this.#count}`;
  }

  #tell(entry: AccessEntry, type: 'flow' | 'open', id: string): void {
    const event = tapFlow(entry, this.#source, { id, type, at: this.#source.clock.now() });
    const { cluster } = this.#filter;
    if (cluster === undefined || event.target.cluster === cluster) this.#sink.event(event);
  }
}

/** Shows the flows of this process. @returns what ends it */
export function openTap(source: TapSource, filter: TapFilter, sink: TapSink): () => void {
  const prefix = Math.floor(source.clock.now()).toString(36) + process.pid.toString(36);
  const tap = new Tap(source, filter, sink, prefix);
  return () => tap.end();
}
