import { type Clock, sleep } from '../base/clock.ts';
import {
  type DeltaEvent,
  emptyTables,
  type Meta,
  type SnapshotEvent,
  STALE_MS,
  type Tables,
} from './snapshot.ts';
import { changesOf } from './table-changes.ts';

/** Most deltas that are kept for whoever comes back, and their bytes together. */
const MAX_KEPT = 300;
const MAX_KEPT_BYTES = 4 * 2 ** 20;

/** A delta as it is told. */
export interface ToldDelta {
  readonly id: string;
  readonly data: string;
}

/**
 * What all pages see: tables as they are now, and the deltas that led there, of which the last are kept. It
 * knows how many look, so that nobody asks clusters for nothing.
 */
export class SnapshotFeed {
  readonly meta: Meta;
  readonly #clock: Clock;
  /** Of another start, ids say nothing. */
  readonly #start: string;
  #tables: Tables = emptyTables();
  #number = 0;
  #kept: ToldDelta[] = [];
  #keptBytes = 0;
  #whole: { readonly id: string; readonly data: string } | undefined;
  readonly #listeners = new Set<(delta: ToldDelta) => void>();
  /** Told when the first begins to look, and when the last has left. */
  watched: (isWatched: boolean) => void = () => undefined;

  constructor(meta: Meta, clock: Clock) {
    this.meta = meta;
    this.#clock = clock;
    this.#start = meta.startedAt.toString(36);
  }

  get tables(): Tables {
    return this.#tables;
  }

  get id(): string {
    return `${this.#start}-${this.#number}`;
  }

  /** Whether anybody looks. */
  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Everything, as it is told: one text for all who ask. */
  get whole(): ToldDelta {
    if (this.#whole?.id !== this.id) this.#whole = { id: this.id, data: JSON.stringify(this.snapshot) };
    return this.#whole;
  }

  get snapshot(): SnapshotEvent {
    return { at: this.#clock.now(), meta: this.meta, tables: this.#tables };
  }

  /** Tells what has changed; nothing where nothing has. */
  publish(tables: Tables): void {
    const changes = changesOf(this.#tables, tables);
    if (changes === undefined) return;
    this.#tables = tables;
    this.#number++;
    const event: DeltaEvent = { at: this.#clock.now(), changes };
    const delta = { id: this.id, data: JSON.stringify(event) };
    this.#keep(delta);
    for (const listener of this.#listeners) listener(delta);
  }

  #keep(delta: ToldDelta): void {
    this.#kept.push(delta);
    this.#keptBytes += delta.data.length;
    while (this.#kept.length > MAX_KEPT || this.#keptBytes > MAX_KEPT_BYTES) {
      const oldest = this.#kept.shift();
      this.#keptBytes -= oldest?.data.length ?? 0;
    }
  }

  /** What came after an id, the oldest first; undefined: that is not known any more, or never was. */
  since(id: string): readonly ToldDelta[] | undefined {
    if (id === this.id) return [];
    const at = this.#kept.findIndex((one) => one.id === id);
    if (at >= 0) return this.#kept.slice(at + 1);
    // The one before the oldest that is kept.
    const first = this.#number - this.#kept.length;
    return id === `${this.#start}-${first}` ? [...this.#kept] : undefined;
  }

  /**
   * For whoever asks once: looks until all that is shown is new, or for so long. A cluster that is away stays
   * old.
   */
  async renewed(maxMs: number, signal: AbortSignal): Promise<void> {
    if (this.#isNew) return;
    const over = new AbortController();
    const leave = this.listen(() => {
      if (this.#isNew) over.abort();
    });
    try {
      await sleep(this.#clock, maxMs, AbortSignal.any([signal, over.signal]));
    } catch (error) {
      if (!over.signal.aborted && !signal.aborted) throw error;
    } finally {
      leave();
    }
  }

  get #isNew(): boolean {
    const oldest = this.#clock.now() - STALE_MS;
    return Object.values(this.#tables.contexts).every(({ at }) => at !== null && at > oldest);
  }

  /** @returns what ends it */
  listen(listener: (delta: ToldDelta) => void): () => void {
    const own = (delta: ToldDelta) => listener(delta);
    this.#listeners.add(own);
    if (this.#listeners.size === 1) this.watched(true);
    return () => {
      if (this.#listeners.delete(own) && this.#listeners.size === 0) this.watched(false);
    };
  }
}
