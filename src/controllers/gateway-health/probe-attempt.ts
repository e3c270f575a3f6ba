import net from 'node:net';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { ProbeReason } from '../../api/reasons/probe-outcome.ts';

/** Opens a TCP connection; it need not be connected yet. */
export type Dialer = (endpoint: { readonly host: string; readonly port: number }) => net.Socket;

export const dialTcp: Dialer = ({ host, port }) => net.connect({ host, port });

/** Response heads up to this are read; a gateway's answer to a probe has a few hundred bytes. */
export const MAX_HEAD_BYTES = 16_384;

/** How one try ended: the gateway answered, or not. */
export type ProbeAnswer =
  | { readonly status: number }
  | {
      readonly reason: ProbeReason;
      readonly message: string;
      /**
       * What was seen is what a peer does that speaks the other way: mTLS to the plain try, no TLS to the
       * other.
       */
      readonly otherWay?: boolean;
    };

/** A socket, TLS socket, HTTP/2 session, or request. */
interface Opened {
  on(event: 'error', listener: (error: Error) => void): unknown;
  destroy(): unknown;
}

/**
 * One try of a probe. The first event that settles it decides; everything that it opened is closed then, and
 * later errors of that are ignored.
 */
export class ProbeAttempt {
  readonly answer: Promise<ProbeAnswer>;
  readonly #resolve: (answer: ProbeAnswer) => void;
  readonly #opened: Opened[] = [];
  readonly #signal: AbortSignal;
  readonly #explain: (error: unknown) => ProbeAnswer;
  #settled = false;

  /**
   * @param signal ends the try as timed out
   * @param explain what an error of anything that was opened means
   */
  constructor(signal: AbortSignal, explain: (error: unknown) => ProbeAnswer) {
    const { promise, resolve } = Promise.withResolvers<ProbeAnswer>();
    this.answer = promise;
    this.#resolve = resolve;
    this.#signal = signal;
    this.#explain = explain;
    signal.addEventListener('abort', this.#onAbort);
  }

  /** Runs `begin`, unless it is over already; what it throws settles the try like an error event. */
  run(begin: () => void): Promise<ProbeAnswer> {
    if (this.#signal.aborted) this.#onAbort();
    else {
      try {
        begin();
      } catch (error) {
        this.fail(error);
      }
    }
    return this.answer;
  }

  /** From now on `thing` is closed with the try and its errors settle it. */
  own<T extends Opened>(thing: T): T {
    thing.on('error', (error) => this.fail(error));
    if (this.#settled) thing.destroy();
    else this.#opened.push(thing);
    return thing;
  }

  fail(error: unknown): void {
    if (!this.#settled) this.settle(this.#explain(error));
  }

  settle(answer: ProbeAnswer): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    // The upper layer first: a session whose socket goes away beneath it complains.
    for (const thing of this.#opened.reverse()) thing.destroy();
    this.#resolve(answer);
  }

  readonly #onAbort = (): void =>
    this.settle({ reason: 'ProbeTimeout', message: messageOf(this.#signal.reason) });
}

const REFUSED = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN']);

/** What an error of the network means, whichever way was tried; undefined when it is of another kind. */
export function networkFailure(error: unknown): ProbeAnswer | undefined {
  const code = systemCode(error);
  if (REFUSED.has(code)) return { reason: 'ProbeRefused', message: `it cannot be connected to (${code})` };
  if (code === 'ETIMEDOUT') return { reason: 'ProbeTimeout', message: 'the connection timed out' };
  return undefined;
}

/** The code of an error of Node (`ECONNRESET`, `ERR_SSL_…`, `HPE_…`); empty without one. */
export function systemCode(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** `host:port`, as in a Host header. */
export function authorityOf({ host, port }: { host: string; port: number }): string {
  return net.isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}
