import type { Clock, Timer } from '../base/clock.ts';
import type { ContextPicture } from './cluster-facts.ts';
import { type ClusterSource, ContextPoller } from './context-poller.ts';
import type { AdviceFor } from './link-rows-shown.ts';
import type { SnapshotFeed } from './snapshot-feed.ts';
import { TableMaker } from './tables-of.ts';

/** How long is asked on when nobody looks: a page that is loaded anew is back by then. Milliseconds. */
const GRACE_MS = 5000;
/** What comes from several clusters within so long is told together, milliseconds. */
const TOGETHER_MS = 100;
/**
 * How many times as long as it takes to make tables lies before they are made again, for the program's rest.
 */
const REST = 3;

/**
 * Asks clusters while somebody looks, and nobody otherwise, and tells the feed what has come.
 */
export class DashboardPoller {
  readonly #feed: SnapshotFeed;
  readonly #clock: Clock;
  readonly #pollers: readonly ContextPoller[];
  readonly #maker: TableMaker;
  /** What was told last: nothing is made of it again. */
  #told: readonly ContextPicture[] = [];
  /** To make tables, the last time. */
  #tookMs = 0;
  #grace: Timer | undefined;
  #telling: Timer | undefined;
  #ticking: Timer | undefined;

  constructor(
    sources: readonly ClusterSource[],
    options: { readonly feed: SnapshotFeed; readonly clock: Clock; readonly adviceFor: AdviceFor },
  ) {
    const { feed, clock, adviceFor } = options;
    this.#feed = feed;
    this.#clock = clock;
    this.#maker = new TableMaker(adviceFor);
    const changed = () => this.#tellSoon();
    const { everyMs } = feed.meta;
    this.#pollers = sources.map((source) => new ContextPoller(source, { clock, everyMs, changed }));
    feed.watched = (isWatched) => (isWatched ? this.#begin() : this.#endSoon());
    this.#tell();
  }

  async close(): Promise<void> {
    this.#feed.watched = () => undefined;
    for (const timer of [this.#grace, this.#telling, this.#ticking]) timer?.cancel();
    this.#telling = undefined;
    await Promise.all(this.#pollers.map((one) => one.close()));
  }

  #begin(): void {
    this.#grace?.cancel();
    this.#grace = undefined;
    for (const poller of this.#pollers) poller.start();
    this.#tick();
  }

  #endSoon(): void {
    this.#grace = this.#clock.after(
      GRACE_MS,
      () => {
        this.#ticking?.cancel();
        this.#ticking = undefined;
        for (const poller of this.#pollers) poller.stop();
      },
      { unref: true },
    );
  }

  /** What gets old does so without a word. */
  #tick(): void {
    this.#ticking ??= this.#clock.after(
      this.#feed.meta.everyMs,
      () => {
        this.#ticking = undefined;
        this.#tellSoon();
        this.#tick();
      },
      { unref: true },
    );
  }

  #tellSoon(): void {
    this.#telling ??= this.#clock.after(
      Math.max(TOGETHER_MS, this.#tookMs * REST),
      () => {
        this.#telling = undefined;
        const begun = this.#clock.monotonic();
        this.#tell();
        this.#tookMs = this.#clock.monotonic() - begun;
      },
      { unref: true },
    );
  }

  #tell(): void {
    const pictures = this.#pollers.map(({ picture }) => picture);
    const isSame = (one: ContextPicture, at: number) =>
      this.#told[at]?.at === one.at &&
      this.#told[at]?.state === one.state &&
      this.#told[at]?.error === one.error;
    if (this.#told.length > 0 && pictures.every(isSame)) return;
    this.#told = pictures;
    this.#feed.publish(this.#maker.tables(pictures, this.#clock.now()));
  }
}
