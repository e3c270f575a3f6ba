import { VirtualClock } from './virtual-clock.ts';

/** A clock on which work takes time, though no timer runs meanwhile. */
export class WorkingClock extends VirtualClock {
  /** Milliseconds that were worked. */
  worked = 0;

  /** Something took so long. */
  work(ms: number): void {
    this.worked += ms;
  }

  override monotonic(): number {
    return super.monotonic() + this.worked;
  }
}
