import type { EndpointState } from './endpoint.ts';

/**
 * What an attempt has shown of its endpoint. `served`: it answered, well. `failed`: with a failure (5xx), or not at all. `connected`: it has taken a connection. `refused`: it
 * could not be connected to. `unknown`: the client went away first.
 */
export type Outcome = 'served' | 'failed' | 'connected' | 'refused' | 'unknown';

/** One request or flow at an endpoint, from when it was picked. It ends once; what is said afterwards does not count. */
export class Attempt {
  readonly endpoint: EndpointState;
  /** Of the endpoint, when the attempt began. */
  readonly era: number;
  #over = false;

  constructor(endpoint: EndpointState, era: number) {
    this.endpoint = endpoint;
    this.era = era;
  }

  get host(): string {
    return this.endpoint.host;
  }

  get port(): number {
    return this.endpoint.port;
  }

  /** A new connection to the endpoint stands. */
  connected(): void {
    this.endpoint.learn(this, 'connected', undefined);
  }

  /** The endpoint does what it should; the flow goes on, which may be for hours, and is in hand until it ends. */
  accepted(): void {
    this.endpoint.learn(this, 'served', undefined);
  }

  /** The first byte of an answer came after `ms`, or a flow ended (`undefined`). @param now monotonic milliseconds, where they are at hand */
  succeed(ms: number | undefined, now?: number): void {
    this.#end('served', ms, now);
  }

  /** The answer was a failure (5xx), or there was none. */
  fail(): void {
    this.#end('failed', undefined);
  }

  /** It could not be connected to. */
  failConnect(): void {
    this.#end('refused', undefined);
  }

  /** The request went away by the client's doing: no verdict about the endpoint. */
  abandon(): void {
    this.#end('unknown', undefined);
  }

  #end(outcome: Outcome, ms: number | undefined, now?: number): void {
    if (this.#over) return;
    this.#over = true;
    this.endpoint.release();
    this.endpoint.learn(this, outcome, ms, now);
  }
}
