import type { Boundary } from '../http/failure-boundary.ts';
import type { ProxyFailure } from '../http/failures.ts';
import {
  type AccessEntry,
  type AccessLog,
  type LoggedFlow,
  type LoggedSession,
  NEVER,
} from './access-log.ts';

/**
 * Everybody who looks at requests as they end, behind the one hook that sessions have: the access log, and
 * whoever taps. When nobody looks, `wants` is `NEVER`, and a request pays one call of a function that does
 * nothing. What an observer throws goes to the boundary: it must not end the request that it looks at.
 */
export class Observers implements AccessLog {
  /** As of `AccessLog`; another function when observers come and go. */
  wants: AccessLog['wants'] = NEVER;
  readonly #boundary: Boundary;
  #all: readonly AccessLog[] = [];
  /** Who wants the request that `wants` was last asked about. */
  #wanting: AccessLog[] = [];

  constructor(boundary: Boundary) {
    this.#boundary = boundary;
  }

  /** @returns what removes it again */
  add(observer: AccessLog): () => void {
    if (observer.wants === NEVER) return () => undefined;
    this.#set([...this.#all, observer]);
    return () => this.#set(this.#all.filter((one) => one !== observer));
  }

  record(entry: AccessEntry): void {
    for (const observer of this.#wanting) {
      try {
        observer.record(entry);
      } catch (error) {
        this.#boundary.caught(error);
      }
    }
  }

  #set(observers: readonly AccessLog[]): void {
    this.#all = observers;
    this.#wanting = [];
    this.wants = observers.length === 0 ? NEVER : (...asked) => this.#ask(...asked);
  }

  #ask(session: LoggedSession, flow: LoggedFlow, failure: ProxyFailure | undefined): boolean {
    const wanting = this.#wanting;
    wanting.length = 0;
    for (const observer of this.#all) {
      try {
        if (observer.wants(session, flow, failure)) wanting.push(observer);
      } catch (error) {
        this.#boundary.caught(error);
      }
    }
    return wanting.length > 0;
  }
}
