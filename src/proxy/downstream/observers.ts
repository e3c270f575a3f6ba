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
    const [only, second] = observers;
    this.#all = observers;
    this.#wanting = only === undefined ? [] : [only];
    if (only === undefined) this.wants = NEVER;
    else if (second === undefined)
      this.wants = (session, flow, failure) => this.#isWanted(only, session, flow, failure);
    else this.wants = (session, flow, failure) => this.#ask(session, flow, failure);
  }

  #ask(session: LoggedSession, flow: LoggedFlow, failure: ProxyFailure | undefined): boolean {
    const wanting = this.#wanting;
    wanting.length = 0;
    for (const observer of this.#all)
      if (this.#isWanted(observer, session, flow, failure)) wanting.push(observer);
    return wanting.length > 0;
  }

  #isWanted(
    observer: AccessLog,
    session: LoggedSession,
    flow: LoggedFlow,
    failure: ProxyFailure | undefined,
  ): boolean {
    try {
      return observer.wants(session, flow, failure);
    } catch (error) {
      this.#boundary.caught(error);
      return false;
    }
  }
}
