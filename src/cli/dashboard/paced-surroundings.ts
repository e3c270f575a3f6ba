import { type Clock, sleep } from '../../base/clock.ts';
import type { Surroundings } from '../traffic/traffic-surroundings.ts';

/** How many times as long as it takes to read it lies between two readings. */
const SHARE = 9;
/** How long is waited for a reading before what is known is taken, milliseconds. */
const PATIENCE_MS = 1000;

const NOTHING_YET: Surroundings = {
  services: [],
  links: [],
  linkRows: [],
  reports: [],
  pods: new Map(),
  usage: new Map(),
  controllersSilent: undefined,
  unread: ['Services, Links and pods are still being read'],
};

/**
 * What stands around numbers, read by whoever asks, but never more than a tenth of the time: a cluster with
 * many thousand Services is not asked for all of them every two seconds. Numbers do not wait for it: where a
 * reading takes long, the one before it is taken.
 */
export class PacedSurroundings {
  readonly #read: () => Promise<Surroundings>;
  readonly #clock: Clock;
  #last: Surroundings = NOTHING_YET;
  #due = 0;
  #reading: Promise<Surroundings> | undefined;

  /** @param read never throws, and ends by itself */
  constructor(read: () => Promise<Surroundings>, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
  }

  async get(): Promise<Surroundings> {
    if (this.#reading === undefined && this.#clock.monotonic() < this.#due) return this.#last;
    this.#reading ??= this.#begin();
    const waited = new AbortController();
    try {
      const late = sleep(this.#clock, PATIENCE_MS, waited.signal).then(() => this.#last);
      return await Promise.race([this.#reading, late]);
    } finally {
      waited.abort();
    }
  }

  async #begin(): Promise<Surroundings> {
    const begun = this.#clock.monotonic();
    try {
      this.#last = await this.#read();
      return this.#last;
    } finally {
      const now = this.#clock.monotonic();
      this.#due = now + (now - begun) * SHARE;
      this.#reading = undefined;
    }
  }
}
