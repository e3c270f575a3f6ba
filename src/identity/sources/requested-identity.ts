import { backoffDelay, type Random } from '../../base/backoff.ts';
import { sleep, type Clock } from '../../base/clock.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { Logger } from '../../telemetry/log.ts';
import { isoTime } from '../x509/certificate.ts';
import { makeCertificateRequest } from '../x509/certificate-request.ts';
import type { Identity, IdentitySource } from './identity.ts';
import { IdentityState } from './identity-state.ts';
import { type LoadedIdentity, verifyIdentity } from './loaded-identity.ts';
import type { TrustAnchors } from './trust-anchors.ts';

/** A leaf certificate as an issuer gave it. */
export interface IssuedLeaf {
  /** PEM: leaf, then intermediates. */
  readonly cert: string;
  /** End of validity by the issuer's answer, milliseconds since the epoch; default the leaf's own. */
  readonly validUntil?: number;
}

/** An issuer of leaves for this workload: Linkerd's identity service, or a Kubernetes signer. */
export interface LeafIssuer {
  /** Name of the issuer, for messages. */
  readonly where: string;
  /** The identity that this workload may ask for. */
  name(signal: AbortSignal): Promise<string>;
  /** Requests a leaf, once. @throws LinkspanError */
  issue(request: LeafRequest, signal: AbortSignal): Promise<IssuedLeaf>;
  close(): Promise<void>;
}

export interface LeafRequest {
  readonly name: string;
  /** PKCS#10. */
  readonly der: Buffer;
  /** Trust bundle by which leaf and issuer are verified, PEM. */
  readonly anchors: string;
}

export interface RequestedIdentityOptions {
  readonly issuer: LeafIssuer;
  readonly anchors: TrustAnchors;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const RETRY = { minMs: 500, maxMs: 30_000 };
/**
 * How often the clock is checked between renewals, milliseconds: after a machine was suspended a renewal may
 * be due although its timer has not fired.
 */
const LOOK_MS = 15_000;

/**
 * Share of a leaf's remaining life after which it is renewed, and the bounds of that wait, milliseconds:
 * Linkerd's (`IDENTITY_MIN_REFRESH`, `IDENTITY_MAX_REFRESH`).
 */
const RENEW_SHARE = 0.7;
const MIN_RENEWAL_MS = 10_000;
const MAX_RENEWAL_MS = 24 * 3_600_000;

/**
 * Milliseconds from now until a leaf that has just been issued is renewed: 70 % of its life, at least 10 s,
 * at most 24 h.
 * @param notAfter end of its validity, milliseconds since the epoch
 */
export function renewalDelayMs(now: number, notAfter: number): number {
  return Math.min(MAX_RENEWAL_MS, Math.max(MIN_RENEWAL_MS, (notAfter - now) * RENEW_SHARE));
}

/**
 * An identity whose key is made here, in memory, and whose certificate is asked for and renewed at 70 % of
 * its life, each time for a new key. A leaf that does not verify (chain, name, validity) is refused and the
 * old one kept. New trust anchors are used at once when the current leaf's chain ends at one of them;
 * otherwise the old set stays until there is a leaf whose chain does, which is requested at once. Owns, and
 * closes, its issuer and anchors.
 */
export function openRequestedIdentity(options: RequestedIdentityOptions): IdentitySource {
  const source = new RequestedIdentity(options);
  source.start();
  return source;
}

class RequestedIdentity implements IdentitySource {
  readonly #options: RequestedIdentityOptions;
  readonly #state: IdentityState;
  readonly #stop = new AbortController();
  /** Ends the wait before the next request. */
  #wake = new AbortController();
  /** Wall-clock time of the next request. */
  #renewAt = 0;
  #running: Promise<void> = Promise.resolve();
  #unsubscribe: () => void = () => undefined;

  constructor(options: RequestedIdentityOptions) {
    this.#options = options;
    this.#state = new IdentityState({ ...options, failed: 'renewal failed' });
  }

  start(): void {
    this.#unsubscribe = this.#options.anchors.subscribe(() => this.#anchorsChanged());
    this.#running = this.#run();
  }

  current(): Identity | undefined {
    return this.#state.current;
  }

  subscribe(listener: () => void): () => void {
    return this.#state.subscribe(listener);
  }

  get ready(): Health {
    return this.#state.ready;
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error('closed'));
    this.#wake.abort();
    this.#unsubscribe();
    this.#state.close();
    await this.#running;
    await Promise.all([this.#options.issuer.close(), this.#options.anchors.close()]);
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#options;
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      try {
        if (this.#anchorsPending()) this.#renewAt = clock.now() + LOOK_MS;
        else await this.#renew();
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.#state.refuse(coded(error, this.#options.issuer.where), false);
        this.#renewAt = clock.now() + backoffDelay(failures++, RETRY, random);
      }
      await this.#untilDue();
    }
  }

  async #untilDue(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#wake;
    for (;;) {
      const left = this.#renewAt - clock.now();
      if (left <= 0 || signal.aborted || this.#stop.signal.aborted) return;
      await sleep(clock, Math.min(left, LOOK_MS), signal).catch(() => undefined);
      this.#state.look();
    }
  }

  async #renew(): Promise<void> {
    const { issuer, clock, log } = this.#options;
    const { signal } = this.#stop;
    const before = this.#anchors();
    const name = await issuer.name(signal);
    const { key, der } = makeCertificateRequest(name);
    const issued = await issuer.issue({ name, der, anchors: before.text }, signal);
    signal.throwIfAborted();
    const now = clock.now();
    const cert = { path: issuer.where, text: issued.cert };
    const parts = { cert, key: { path: 'the key made for it', text: key }, ca: this.#anchors() };
    const loaded = limited(verifyIdentity(parts, now), issued.validUntil, issuer.where, now);
    if (loaded.identity.name !== name.toLowerCase()) {
      throw new LinkspanError(
        'IDENTITY_NAME_MISMATCH',
        `${issuer.where}: the certificate is for ${loaded.identity.name}, asked for was ${name}`,
      );
    }
    const delayMs = renewalDelayMs(now, loaded.identity.notAfter);
    this.#renewAt = now + delayMs;
    this.#state.take(loaded);
    log.debug({ identity: name, renewAt: isoTime(this.#renewAt) }, 'next renewal');
  }

  /**
   * Whether the anchors are being read for the first time, without a failure so far; their source notifies
   * us.
   */
  #anchorsPending(): boolean {
    const { anchors } = this.#options;
    return anchors.current() === undefined && anchors.problem === undefined;
  }

  /** @throws LinkspanError while there is no good bundle */
  #anchors(): { path: string; text: string } {
    const { anchors } = this.#options;
    const found = anchors.current();
    if (found !== undefined) return found;
    throw (
      anchors.problem ?? new LinkspanError('IDENTITY_MISSING', 'the trust anchors have not been read yet')
    );
  }

  #anchorsChanged(): void {
    const { anchors, clock } = this.#options;
    const used = this.current();
    const found = anchors.current();
    if (used === undefined || found === undefined) {
      this.#wake.abort();
      return;
    }
    try {
      const parts = {
        cert: { path: 'the certificate in use', text: used.cert },
        key: { path: 'its key', text: used.key },
        ca: found,
      };
      this.#state.take(limited(verifyIdentity(parts, clock.now()), used.notAfter, '', clock.now()));
      if (anchors.problem !== undefined) this.#state.refuse(anchors.problem, false);
    } catch (error) {
      this.#state.refuse(coded(error, found.path), false);
      this.#wake.abort();
    }
  }
}

/**
 * The identity with the end that its issuer stated, if that is earlier.
 * @throws LinkspanError IDENTITY_EXPIRED
 */
function limited(
  loaded: LoadedIdentity,
  validUntil: number | undefined,
  where: string,
  now: number,
): LoadedIdentity {
  if (validUntil === undefined || validUntil >= loaded.identity.notAfter) return loaded;
  if (validUntil <= now) {
    throw new LinkspanError(
      'IDENTITY_EXPIRED',
      `${where}: by its own word the certificate was good until ${isoTime(validUntil)}`,
    );
  }
  return { ...loaded, identity: { ...loaded.identity, notAfter: validUntil } };
}

function coded(error: unknown, where: string): LinkspanError {
  if (error instanceof LinkspanError) return error;
  return new LinkspanError('IDENTITY_INVALID', `${where}: ${messageOf(error)}`, { cause: error });
}
