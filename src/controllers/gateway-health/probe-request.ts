import type { Clock, Timer } from '../../base/clock.ts';
import { SharedWork } from '../../base/shared-work.ts';
import type { Identity } from '../../identity/sources/identity.ts';
import { type ProbeAnswer, authorityOf, type Dialer, dialTcp } from './probe-attempt.ts';
import { tryMtls } from './mtls-probe.ts';
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
  /** Milliseconds for the whole probe: connecting, and both ways where both are tried. */
  readonly timeoutMs: number;
}

export interface ProberOptions {
  readonly clock: Clock;
  /**
   * What to show where mTLS is demanded; asked for each probe, so that a renewed certificate serves the next
   * one.
   */
  readonly identity: () => Identity | undefined;
  /** Default plain TCP. */
  readonly dial?: Dialer;
}

/** Addresses whose way is remembered; the oldest is forgotten first, which costs it one try. */
const MAX_REMEMBERED = 4096;
/** Probes at once that somebody asked for, and how long an outcome is good for others who ask. */
const ASKED = { concurrency: 8, keepMs: 1000 };

/**
 * Sends probes. Success is exactly status 200, as with Linkerd. The first try is HTTP/1.1 in the clear; where
 * the gateway demands mTLS (401, 403, a TLS alert, or a connection that is accepted and closed without an
 * answer) the same probe goes on with mTLS at once. What worked last for an address is tried first the next
 * time.
 *
 * A gateway that is known to speak mTLS and proves another identity is not asked in the clear again: whoever
 * took over its address must not pass for it by speaking plainly.
 */
export class Prober {
  readonly #clock: Clock;
  readonly #identity: () => Identity | undefined;
  readonly #dial: Dialer;
  readonly #asked: SharedWork<ProbeOutcome>;
  /** Addresses (`host:port`) at which mTLS worked last; all others are asked in the clear. */
  readonly #overMtls = new Set<string>();

  constructor(options: ProberOptions) {
    this.#clock = options.clock;
    this.#identity = options.identity;
    this.#dial = options.dial ?? dialTcp;
    this.#asked = new SharedWork({ clock: options.clock, ...ASKED });
  }

  /**
   * One probe for somebody who asks. Those who ask for the same at the same time share it, and only a few are
   * under way at once.
   */
  probeForAsker(target: ProbeTarget): Promise<ProbeOutcome> {
    const key = `${authorityOf(target)} ${target.path} ${target.identity}`;
    return this.#asked.run(key, () => this.probe(target));
  }

  /**
   * Sends one probe. Never rejects; nothing of it is open when it resolves. `signal` ends it early, with
   * `ProbeTimeout`.
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
      if (answer.status === 200) return { ok: true, latencyMs, via };
      const how = via === 'mtls' ? ' with mTLS' : '';
      return { ...failed('ProbeStatus', `it answered ${answer.status}${how}`), latencyMs };
    } finally {
      deadline.cancel();
    }
  }

  async #ask(target: ProbeTarget, signal: AbortSignal): Promise<{ answer: ProbeAnswer; via: ProbeWay }> {
    const own = this.#identity();
    if (own !== undefined && this.#overMtls.has(authorityOf(target))) {
      const answer = await tryMtls(target, own, this.#dial, signal, this.#clock.now());
      if (!goesOn(answer)) return { answer, via: 'mtls' };
      const plain = await tryPlain(target, this.#dial, signal);
      // It still demands mTLS, so what is wrong with that is the news.
      return demandsMtls(plain) ? { answer, via: 'mtls' } : { answer: plain, via: 'http1' };
    }
    const plain = await tryPlain(target, this.#dial, signal);
    if (!demandsMtls(plain)) return { answer: plain, via: 'http1' };
    if (own === undefined) return { answer: needsIdentity(plain), via: 'http1' };
    const answer = await tryMtls(target, own, this.#dial, signal, this.#clock.now());
    if (!('status' in plain && 'reason' in answer && goesOn(answer))) return { answer, via: 'mtls' };
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

/** Both the time limit of a probe and whoever stops it, as one signal. */
class Deadline {
  readonly #ended = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #timer: Timer;

  constructor(clock: Clock, timeoutMs: number, outer: AbortSignal | undefined) {
    this.#outer = outer;
    const late = () => this.#ended.abort(new Error(`no complete answer within ${timeoutMs} ms`));
    // After a pause of this process the answer may lie in the socket already: it is read before the time
    // counts as over.
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

function goesOn(answer: ProbeAnswer): boolean {
  return 'otherWay' in answer && answer.otherWay;
}

function demandsMtls(answer: ProbeAnswer): boolean {
  return 'status' in answer ? answer.status === 401 || answer.status === 403 : goesOn(answer);
}

function needsIdentity(plain: ProbeAnswer): ProbeAnswer {
  const seen = 'status' in plain ? `it answered ${plain.status}` : plain.message;
  return {
    reason: 'ProbeNeedsIdentity',
    message: `${seen}; it demands mTLS, and the controller has no identity`,
  };
}
