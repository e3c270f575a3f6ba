import { LinkspanError, messageOf } from '../api/errors/linkspan-error.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { type AbortRule, troubleIn } from './abort-rule.ts';
import type { ServiceTraffic, Traffic } from './egress-traffic.ts';
import { BLIND_MS, type EgressPages, RecentTraffic, silentTexts, whyUnseen } from './recent-traffic.ts';

/** How often is looked, milliseconds: as exact are the times of the report. */
export const LOOK_MS = 500;

/** What one look has found. */
export interface DrillLook extends EgressPages {
  /** Services whose capacity does not suffice, with what there is as part of what is asked of them. */
  readonly short: ReadonlyMap<string, number>;
}

/** The stage on which a drill is played: everything that it does to the world. */
export interface DrillStage {
  readonly clock: Clock;
  /** Begins the fault. Its end stands in the object, so that it ends also when nobody calls `end`. */
  begin(): Promise<void>;
  /** Ends it, if it has not ended. */
  end(): Promise<void>;
  look(): Promise<DrillLook>;
  /** @param left milliseconds until it ends by itself */
  onLook(left: number): void;
  /** Somebody wants it to end. */
  readonly signal: AbortSignal;
}

/** How a drill is to go. */
export interface DrillScript {
  readonly forMs: number;
  /** How long after the end is still looked: until traffic is back. */
  readonly afterMs: number;
  readonly rule: AbortRule;
}

/** What was counted between one look and the one before it. */
export interface DrillSample {
  /** Milliseconds since the fault began. */
  readonly at: number;
  readonly traffic: ReadonlyMap<string, ServiceTraffic>;
  readonly short: ReadonlyMap<string, number>;
}

/** Everything that was seen of a drill. */
export interface DrillRecord {
  /** What was counted before it, since each pod of the egress has run. */
  readonly usual: Traffic;
  readonly samples: readonly DrillSample[];
  /** When the fault ended, milliseconds since it began. */
  readonly endedAt: number;
  /** Why it was given up; undefined: it was not. */
  readonly aborted: string | undefined;
  /** Why nobody saw any more what clients got; it was given up for that. */
  readonly blind: string | undefined;
  /** Why it could not be ended; it ends by what stands in the object. */
  readonly notEnded: unknown;
  /** Pods that did not answer a look, and why, sorted. */
  readonly silent: readonly string[];
}

/**
 * Plays a drill: begins it, looks on, ends it when its time is over, when what clients get is too bad, when
 * nobody can see that any more, or when somebody wants it. Whatever happens in between, it is ended, also
 * where its beginning has failed: that may have been written although the answer was lost.
 * @throws what `begin` throws, and LinkspanError DRILL_BLIND where nothing can be seen from the start, so
 * that nothing was begun
 */
export async function runDrill(stage: DrillStage, script: DrillScript): Promise<DrillRecord> {
  const { clock, signal } = stage;
  const watch = await DrillWatch.begin(stage);
  await begun(stage);
  watch.started();
  let aborted: string | undefined;
  while (aborted === undefined && watch.since < script.forMs) {
    stage.onLook(script.forMs - watch.since);
    await pause(clock, Math.min(LOOK_MS, script.forMs - watch.since), signal);
    if (signal.aborted) aborted = 'it was interrupted';
    else {
      const recent = await watch.look();
      aborted = watch.blind ?? troubleIn(recent, watch.traffic.usual, script.rule)[0];
    }
  }
  const { blind } = watch;
  let notEnded: unknown;
  await stage.end().catch((error: unknown) => (notEnded = error));
  const endedAt = watch.since;
  // Where nothing is seen, nothing is to be seen of the way back either.
  const until = blind === undefined ? endedAt + script.afterMs : endedAt;
  while (!signal.aborted && watch.since < until) {
    await pause(clock, LOOK_MS, signal);
    await watch.look();
  }
  const { traffic, samples, silent } = watch;
  return { usual: traffic.usual, samples, endedAt, aborted, blind, notEnded, silent: [...silent].sort() };
}

async function begun(stage: DrillStage): Promise<void> {
  try {
    await stage.begin();
  } catch (error) {
    await stage.end().catch(() => undefined);
    throw error;
  }
}

/** What is seen of a drill, look by look. */
class DrillWatch {
  readonly traffic: RecentTraffic;
  readonly samples: DrillSample[] = [];
  readonly silent: Set<string>;
  readonly #stage: DrillStage;
  #begun: number;
  #seenAt: number;
  #why = '';

  private constructor(stage: DrillStage, first: DrillLook) {
    this.#stage = stage;
    this.traffic = new RecentTraffic(0, first);
    this.silent = new Set(silentTexts(first));
    this.#begun = this.#seenAt = stage.clock.monotonic();
  }

  /** @throws LinkspanError DRILL_BLIND */
  static async begin(stage: DrillStage): Promise<DrillWatch> {
    const first = await lookOf(stage);
    if (typeof first !== 'string') return new DrillWatch(stage, first);
    throw new LinkspanError('DRILL_BLIND', `nothing can be seen of what clients get: ${first}`);
  }

  started(): void {
    this.#begun = this.#seenAt = this.#stage.clock.monotonic();
  }

  /** Milliseconds since it began. */
  get since(): number {
    return this.#stage.clock.monotonic() - this.#begun;
  }

  /** Why nobody sees any more what clients get; undefined: somebody does. */
  get blind(): string | undefined {
    const unseen = this.#stage.clock.monotonic() - this.#seenAt;
    return unseen < BLIND_MS
      ? undefined
      : `for ${Math.round(unseen / 1000)} s nothing was seen: ${this.#why}`;
  }

  /** @returns what was counted lately; nothing where nothing was seen */
  async look(): Promise<Traffic> {
    const look = await lookOf(this.#stage);
    if (typeof look === 'string') {
      this.#why = look;
      return new Map();
    }
    const at = this.since;
    this.#seenAt = this.#stage.clock.monotonic();
    const { now, recent } = this.traffic.see(at, look);
    this.samples.push({ at, traffic: now, short: look.short });
    for (const text of silentTexts(look)) this.silent.add(text);
    return recent;
  }
}

/** One look. @returns a text: why nothing was seen */
async function lookOf(stage: DrillStage): Promise<DrillLook | string> {
  const over = new AbortController();
  try {
    const look = await Promise.race([
      stage.look(),
      sleep(stage.clock, BLIND_MS, over.signal).then(() => 'it took too long'),
    ]);
    return typeof look === 'string' ? look : (whyUnseen(look) ?? look);
  } catch (error) {
    return messageOf(error);
  } finally {
    over.abort(new Error('it has been looked'));
  }
}

async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await sleep(clock, Math.max(1, ms), signal).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
