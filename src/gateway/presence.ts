import type { Flow } from '../proxy/downstream/session.ts';

/** Stands for a client that may ask again at any time, so that a service is not forgotten meanwhile. */
export class Presence implements Flow {
  recheck(): void {
    // Requests are checked one by one.
  }

  drain(): void {
    // Its connection is told.
  }
}
