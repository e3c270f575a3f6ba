import { type Clock, sleep } from '../base/clock.ts';
import { type AbortRule, troubleIn } from './abort-rule.ts';
import type { ServiceTraffic, Traffic } from './egress-traffic.ts';
import { type EgressPages, RecentTraffic, silentTexts } from './recent-traffic.ts';

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
  /** Pods that did not answer a look, and why, sorted. */
  readonly silent: readonly string[];
}

/**
 * Plays a drill: begins it, looks on, ends it when its time is over, when what clients get is too bad, or
 * when somebody wants it. Whatever happens in between, it is ended, also where its beginning has failed: that
 * may have been written although the answer was lost.
 * @throws what `begin`, `end` and `look` throw
 */
export async function runDrill(stage: DrillStage, script: DrillScript): Promise<DrillRecord> {
  const { clock, signal } = stage;
  const first = await stage.look();
  const silent = new Set(silentTexts(first));
  const samples: DrillSample[] = [];
  let begun = clock.monotonic();
  const since = () => clock.monotonic() - begun;
  const traffic = new RecentTraffic(0, first);
  const lookAt = async () => {
    const look = await stage.look();
    const at = since();
    const { now, recent } = traffic.see(at, look);
    samples.push({ at, traffic: now, short: look.short });
    for (const text of silentTexts(look)) silent.add(text);
    return recent;
  };
  let aborted: string | undefined;
  let endedAt = 0;
  try {
    await stage.begin();
    begun = clock.monotonic();
    while (aborted === undefined && since() < script.forMs) {
      stage.onLook(script.forMs - since());
      await pause(clock, Math.min(LOOK_MS, script.forMs - since()), signal);
      if (signal.aborted) aborted = 'it was interrupted';
      else aborted = troubleIn(await lookAt(), traffic.usual, script.rule)[0];
    }
  } finally {
    await stage.end();
    endedAt = since();
  }
  const until = since() + script.afterMs;
  while (!signal.aborted && since() < until) {
    await pause(clock, LOOK_MS, signal);
    await lookAt();
  }
  return { usual: traffic.usual, samples, endedAt, aborted, silent: [...silent].sort() };
}

async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await sleep(clock, Math.max(1, ms), signal).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
