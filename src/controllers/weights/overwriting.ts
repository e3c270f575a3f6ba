import { compareVersions } from '../../kube/objects/resource-version.ts';

/** How long somebody's writing over our weights is counted, milliseconds. */
const COUNTED_MS = 300_000;

interface Overwritten {
  /** The version of the object that our last write made. */
  wroteVersion: string;
  /** The last version that was written over ours. */
  lastVersion: string | undefined;
  times: number;
  at: number;
}

/**
 * Counts how often somebody writes other weights over ours, so that two controllers do not write against each
 * other for ever.
 */
export class Overwriting {
  readonly #seen = new Map<string, Overwritten>();

  /** We have written an object. @param version the one that the write made */
  wrote(id: string, version: string): void {
    const before = this.#seen.get(id);
    this.#seen.set(id, {
      wroteVersion: version,
      lastVersion: undefined,
      times: before?.times ?? 0,
      at: before?.at ?? 0,
    });
  }

  /**
   * How often in a row ours were written over within five minutes.
   * @param version of the object as it is now
   * @param others whether somebody else was the last to write its weights, and they are not those that we
   * wrote
   * @param now milliseconds since the epoch
   */
  times(id: string, { version, others, now }: { version: string; others: boolean; now: number }): number {
    const seen = this.#seen.get(id);
    if (seen === undefined) return 0;
    // The watch may still show what stood there before our write.
    const isNewer = compareVersions(version, seen.wroteVersion) > 0;
    if (others && isNewer && seen.lastVersion === undefined) {
      seen.times = now - seen.at > COUNTED_MS ? 1 : seen.times + 1;
      seen.at = now;
      seen.lastVersion = version;
    }
    return now - seen.at > COUNTED_MS ? 0 : seen.times;
  }

  /** How long until what was counted is forgotten, milliseconds; undefined: nothing was. */
  forgottenIn(id: string, now: number): number | undefined {
    const seen = this.#seen.get(id);
    return seen === undefined || seen.times === 0 ? undefined : Math.max(1, seen.at + COUNTED_MS + 1 - now);
  }

  forget(id: string): void {
    this.#seen.delete(id);
  }
}
