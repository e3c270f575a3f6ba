import type { Clock, Timer } from '../../base/clock.ts';
import { SharedWork } from '../../base/shared-work.ts';
import { readDrainField } from '../../api/failover/drain-header.ts';
import type { Identity } from '../../identity/sources/identity.ts';
import { type ProbeAnswer, authorityOf, type Dialer, dialTcp } from './probe-attempt.ts';
import type { ProbeOutcome, ProbeReason, ProbeWay } from '../../api/reasons/probe-outcome.ts';
import { tryPlain } from './plain-probe.ts';

/** One address of a gateway, and what it has to answer. */
export interface ProbeTarget {
  /** IP address. */
  readonly host: string;
  readonly port: number;
  /** Path of the GET, `/ready` with Linkerd. */
  readonly path: string;
  /** Identity that the gateway must prove where it demands mTLS: DNS-like or `spiffe://…`. */
  readonly identity: string;
  /** Milliseconds for the whole probe: connecting, and both protocols where both are tried. */
  readonly timeoutMs: number;
}

/** How probes are sent. */
export interface ProberOptions {
  readonly clock: Clock;
  /**
   * Our identity, for gateways that demand mTLS; called for each probe, so that a renewed certificate serves
   * the next one. Undefined: there is none.
   */
  readonly identity: () => Identity | undefined;
  /** Default plain TCP. */
  readonly dial?: Dialer;
}

/** Most addresses in `#overMtls`; the oldest is forgotten first, which costs its next probe one attempt. */
const MAX_REMEMBERED = 4096;
/**
 * Most probes at a time that people asked for, and how long the outcome of one serves others who ask,
 * milliseconds.
 */
const ASKED = { concurrency: 8, keepMs: 1000 };

/**
 * Sends probes. Success is exactly status 200, as with Linkerd; or 503 of a gateway that asks to be drained.
 * The first attempt is plain HTTP/1.1; where the gateway demands mTLS (401, 403, a TLS alert, or a connection
 * that is accepted and closed without an answer), the same probe goes on with mTLS at once. What worked last
 * for an address is tried first the next time.
 *
 * An address that was last reached by mTLS and now proves another identity is not asked over plain HTTP:
 * whoever has taken over the address must not pass for the gateway by not using TLS.
 */
export class Prober {
  readonly #clock: Clock;
  readonly #identity: () => Identity | undefined;
  readonly #dial: Dialer;
  readonly #asked: SharedWork<ProbeOutcome>;
  /** Addresses (`host:port`) at which mTLS worked last; all others are asked over plain HTTP first. */
  readonly #overMtls = new Set<string>();

  constructor(options: ProberOptions) {
    this.#clock = options.clock;
    this.#identity = options.identity;
    this.#dial = options.dial ?? dialTcp;
    this.#asked = new SharedWork({ clock: options.clock, ...ASKED });
  }

  /**
   * One probe for a person who asks. Those who ask for the same at the same time share it, and only a few are
   * under way at once.
   */
  probeForAsker(target: ProbeTarget): Promise<ProbeOutcome> {
    const key = `${authorityOf(target)} ${target.path} ${target.identity}`;
    return this.#asked.run(key, () => this.probe(target));
  }

  /**
   * Sends one probe. Never rejects; when it resolves, everything that it opened is closed.
   * @param signal ends it early, with `ProbeTimeout`
   */
  async probe(target: ProbeTarget, signal?: AbortSignal): Promise<ProbeOutcome> {
    const start = this.#clock.monotonic();
    const deadline = new Deadline(this.#clock, target.timeoutMs, signal);
    try {
      const { answer, via } = await this.#ask(target, deadline.signal);
      const latencyMs = this.#clock.monotonic() - start;
      if (!('status' in answer))
        return { ok: false, reason: answer.reason, message: answer.message, latencyMs };
      this.#remember(authorityOf(target), via);
      const drain = readDrainField(answer.drain, this.#clock.now());
      // A gateway of ours that has been drained answers 503 for sources which do not know the field. It
      // works.
      if (answer.status === 200 || (answer.status === 503 && drain !== undefined))
        return { ok: true, latencyMs, via, drain };
      const how = via === 'mtls' ? ' with mTLS' : '';
      return { ...failed('ProbeStatus', `it answered ${answer.status}${how}`), latencyMs };
    } finally {
      deadline.cancel();
    }
  }

  /** Loads the code for it when a gateway first demands it: most answer over plain HTTP. */
  async #tryMtls(target: ProbeTarget, own: Identity, signal: AbortSignal): Promise<ProbeAnswer> {
    const { tryMtls } = await import('./mtls-probe.ts');
    return tryMtls(target, own, this.#dial, signal, this.#clock.now());
  }

  async #ask(target: ProbeTarget, signal: AbortSignal): Promise<{ answer: ProbeAnswer; via: ProbeWay }> {
    const own = this.#identity();
    if (own !== undefined && this.#overMtls.has(authorityOf(target))) {
      const answer = await this.#tryMtls(target, own, signal);
      if (!isWrongProtocol(answer)) return { answer, via: 'mtls' };
      const plain = await tryPlain(target, this.#dial, signal);
      // Where it still demands mTLS, the error of the mTLS attempt says what is wrong.
      return demandsMtls(plain) ? { answer, via: 'mtls' } : { answer: plain, via: 'http1' };
    }
    const plain = await tryPlain(target, this.#dial, signal);
    if (!demandsMtls(plain)) return { answer: plain, via: 'http1' };
    if (own === undefined) return { answer: needsIdentity(plain), via: 'http1' };
    const answer = await this.#tryMtls(target, own, signal);
    if (!('status' in plain && 'reason' in answer && isWrongProtocol(answer))) return { answer, via: 'mtls' };
    const message = `it answered ${plain.status}, and to mTLS: ${answer.message}`;
    return { answer: { reason: 'ProbeStatus', message }, via: 'http1' };
  }

  #remember(address: string, via: ProbeWay): void {
    this.#overMtls.delete(address);
    if (via === 'http1') return;
    this.#overMtls.add(address);
    const oldest = this.#overMtls.values().next().value;
    if (this.#overMtls.size > MAX_REMEMBERED && oldest !== undefined) this.#overMtls.delete(oldest);
  }
}

/** The time-out of a probe and the caller's signal, as one signal. */
class Deadline {
  readonly #ended = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #timer: Timer;

  constructor(clock: Clock, timeoutMs: number, outer: AbortSignal | undefined) {
    this.#outer = outer;
    const late = () => this.#ended.abort(new Error(`no complete answer within ${timeoutMs} ms`));
    // Where this process was late, the answer may lie in the socket already: it is read before the probe
    // counts as timed out.
    this.#timer = clock.after(timeoutMs, () => setImmediate(late), { unref: true });
    if (outer?.aborted === true) this.#stop();
    outer?.addEventListener('abort', this.#stop);
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  cancel(): void {
    this.#timer.cancel();
    this.#outer?.removeEventListener('abort', this.#stop);
  }

  readonly #stop = (): void => this.#ended.abort(new Error('the probe was stopped'));
}

function failed(reason: ProbeReason, message: string): { ok: false; reason: ProbeReason; message: string } {
  return { ok: false, reason, message };
}

function isWrongProtocol(answer: ProbeAnswer): boolean {
  return 'wrongProtocol' in answer && answer.wrongProtocol;
}

function demandsMtls(answer: ProbeAnswer): boolean {
  return 'status' in answer ? answer.status === 401 || answer.status === 403 : isWrongProtocol(answer);
}

function needsIdentity(plain: ProbeAnswer): ProbeAnswer {
  const seen = 'status' in plain ? `it answered ${plain.status}` : plain.message;
  return {
    reason: 'ProbeNeedsIdentity',
    message: `${seen}; it demands mTLS, and the controller has no identity`,
  };
}
