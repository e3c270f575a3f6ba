import net from 'node:net';
import { messageOf } from '../../api/errors/linkspan-error.ts';
import type { ProbeReason } from '../../api/reasons/probe-outcome.ts';

/** Opens a TCP connection; it need not be connected yet. */
export type Dialer = (endpoint: { readonly host: string; readonly port: number }) => net.Socket;

/** Opens connections with plain TCP. */
export const dialTcp: Dialer = ({ host, port }) => net.connect({ host, port });

/** Longest response head that is read, bytes; a gateway's answer to a probe has a few hundred. */
export const MAX_HEAD_BYTES = 16_384;

/** How one attempt ended: the gateway answered with an HTTP status, or why not. */
export type ProbeAnswer =
  | {
      readonly status: number;
      /** Value of the field `DRAIN_FIELD`, as it came. */
      readonly drain?: unknown;
    }
  | {
      readonly reason: ProbeReason;
      readonly message: string;
      /**
       * Whether the peer behaved as one does that speaks the other protocol: mTLS where plain HTTP was tried,
       * plain HTTP where mTLS was tried.
       */
      readonly wrongProtocol?: boolean;
    };

/** A socket, TLS socket, HTTP/2 session, or request. */
interface Opened {
  on(event: 'error', listener: (error: Error) => void): unknown;
  destroy(): unknown;
}

/**
 * One attempt of a probe, over plain HTTP or mTLS. The first answer or error settles it; everything that it
 * has opened is then closed, and later errors of that are ignored.
 */
export class ProbeAttempt {
  readonly answer: Promise<ProbeAnswer>;
  readonly #resolve: (answer: ProbeAnswer) => void;
  readonly #opened: Opened[] = [];
  readonly #signal: AbortSignal;
  readonly #explain: (error: unknown) => ProbeAnswer;
  #settled = false;

  /**
   * @param signal ends the attempt as timed out
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

  /** Runs `begin`, unless the attempt is over already; what it throws settles it like an error event. */
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

  /** From now on errors of `thing` settle the attempt, and it is closed when that is settled. */
  own<T extends Opened>(thing: T): T {
    thing.on('error', (error) => this.fail(error));
    if (this.#settled) thing.destroy();
    else this.#opened.push(thing);
    return thing;
  }

  /** An error has occurred; it settles the attempt, unless that is settled. */
  fail(error: unknown): void {
    if (!this.#settled) this.settle(this.#explain(error));
  }

  /** The attempt has this answer, unless it had one before; everything that it has opened is closed. */
  settle(answer: ProbeAnswer): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    // The upper layers first: an HTTP/2 session whose socket is destroyed beneath it emits an error.
    for (const thing of this.#opened.reverse()) thing.destroy();
    this.#resolve(answer);
  }

  readonly #onAbort = (): void =>
    this.settle({ reason: 'ProbeTimeout', message: messageOf(this.#signal.reason) });
}

const REFUSED = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN']);

/** What an error of the network means, whichever protocol was tried; undefined: it is of another kind. */
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
