import {
  kubeconfigData,
  kubeconfigIn,
  parseTokenTtl,
  tokenTtlText,
} from '../../api/credentials/credentials-secret.ts';
import type { V1Secret } from '@kubernetes/client-node';
import { backoffDelay, type Random } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { describeError, LinkspanError } from '../../api/errors/linkspan-error.ts';
import { TOKEN_TTL } from '../../api/names.ts';
import { isConflict, isNotFound, type KubeClient } from '../../kube/client/kube-client.ts';
import { keyOf, secrets } from '../../api/kubernetes/resource.ts';
import type { Logger } from '../../telemetry/log.ts';
import { accessFromSecret, kubeconfigWithToken } from '../../linking/credentials.ts';
import { MIN_TOKEN_TTL_MS, requestToken, tokenFacts, type AccountRef } from '../../linking/token.ts';

/** Share of a token's life after which it is renewed. */
const RENEW_SHARE = 2 / 3;
/**
 * Renewals are brought forward by up to this share of the wait, so that those of many Links do not coincide.
 */
const SPREAD = 0.05;
/**
 * Least time between two renewals: API servers grant at least ten minutes, but what is no API server may
 * grant none.
 */
const MIN_PAUSE_MS = 60_000;
/** Waits before a failed renewal is tried again. */
const BACKOFF = { minMs: 5000, maxMs: 300_000 };
/** Longest timer: Node's are limited to 2^31 ms. */
const LONGEST_TIMER_MS = 86_400_000;

/** The renewal that a Secret asks for. */
export interface RenewalWish {
  /** The service account in the target. */
  readonly account: AccountRef;
  /** Life of the new token. */
  readonly ttlMs: number;
  /** Of the present token, milliseconds since the epoch. */
  readonly issuedAt: number;
  /** Of the present token, milliseconds since the epoch. */
  readonly expiresAt: number;
}

/**
 * The renewal that a Secret asks for; undefined: none.
 * @throws LinkspanError CREDENTIALS_INVALID where it asks for one that is not possible
 */
export function renewalWish(secret: V1Secret): RenewalWish | undefined {
  const text = tokenTtlText(secret);
  if (text === undefined) return undefined;
  const wrong = (what: string) => new LinkspanError('CREDENTIALS_INVALID', `Secret ${keyOf(secret)} ${what}`);
  const ttlMs = parseTokenTtl(text);
  if (ttlMs === undefined || ttlMs < MIN_TOKEN_TTL_MS)
    throw wrong(`has "${text}" as ${TOKEN_TTL}, which is no duration of at least 10m`);
  const { bearer } = accessFromSecret(secret);
  if (bearer === undefined) throw wrong(`has ${TOKEN_TTL}, but its kubeconfig holds no token`);
  const { account, issuedAt, expiresAt } = tokenFacts(bearer);
  if (account === undefined) throw wrong(`has ${TOKEN_TTL}, but its token is not a service account's`);
  // A token that never expires counts as expired, so that one with an end takes its place.
  return { account, ttlMs, issuedAt: issuedAt ?? 0, expiresAt: expiresAt ?? 0 };
}

/**
 * Milliseconds until a token is renewed: at two thirds of its life, which begins by the target's clock, but
 * not later than two thirds of its life from now, if the clocks differ.
 * @param now milliseconds since the epoch, by our clock
 */
export function tokenRenewalDelayMs(wish: Pick<RenewalWish, 'issuedAt' | 'expiresAt'>, now: number): number {
  const life = Math.max(0, wish.expiresAt - wish.issuedAt);
  return Math.min(life * RENEW_SHARE, Math.max(0, wish.issuedAt + life * RENEW_SHARE - now));
}

/** The two clusters, and who hears of the renewal. */
export interface TokenRenewalOptions {
  /** Client of the target cluster, with the very token that is renewed. */
  readonly remote: KubeClient;
  readonly local: Pick<KubeClient, 'patch'>;
  /** `active` or `error` has changed. */
  readonly onState: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * Renews the token in one Link's Secret before it expires: requests a new one from the target by means of the
 * present one, and writes it into the Secret, whose change is then taken up like any other. It tries for
 * ever, with back-off, also when the token should have expired, because clocks may differ.
 */
export class TokenRenewal {
  readonly #options: TokenRenewalOptions;
  readonly #stop = new AbortController();
  #secret: V1Secret | undefined;
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();
  #attempt = 0;
  #error: Error | undefined;
  #wish: RenewalWish | undefined;
  /**
   * The last token that was requested here, and when (monotonic milliseconds): its life is counted from then.
   */
  #own: { readonly token: string; readonly at: number } | undefined;
  #renewed = 0;
  /** The `active` and `error` of which `onState` told last, as text. */
  #told = '';
  #failed = 0;

  constructor(options: TokenRenewalOptions) {
    this.#options = options;
  }

  /** Why the last attempt failed, or the Secret's wish cannot be met; undefined: neither. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Whether the Secret asks for renewal. */
  get active(): boolean {
    return this.#wish !== undefined || this.#error !== undefined;
  }

  /** How many renewals worked, and how many attempts failed, since this replica took the Link. */
  get counts(): { readonly renewed: number; readonly failed: number } {
    return { renewed: this.#renewed, failed: this.#failed };
  }

  /** Takes in the Secret as it is now. */
  follow(secret: V1Secret): void {
    this.#timer?.cancel();
    this.#secret = secret;
    this.#wish = undefined;
    try {
      this.#wish = renewalWish(secret);
      this.#error = undefined;
    } catch (error) {
      this.#error = error as Error;
    }
    this.#tell();
    this.#attempt = 0;
    if (this.#wish === undefined) return;
    this.#later(this.#delay(secret, this.#wish) * (1 - SPREAD * this.#options.random()));
  }

  #delay(secret: V1Secret, wish: RenewalWish): number {
    const { clock } = this.#options;
    const own = this.#own;
    if (own === undefined || accessFromSecret(secret).bearer !== own.token)
      return tokenRenewalDelayMs(wish, clock.now());
    // By the wall clock every new token would look due, where our clock is ahead by most of a token's life.
    const life = Math.max(MIN_PAUSE_MS, tokenRenewalDelayMs(wish, wish.issuedAt));
    return Math.max(0, life - (clock.monotonic() - own.at));
  }

  /** When it resolves, no write is under way. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('renewal stopped'));
    this.#timer?.cancel();
    await this.#running;
  }

  #tell(): void {
    const text = `${this.active} ${this.#error === undefined ? '' : describeError(this.#error)}`;
    if (text === this.#told) return;
    this.#told = text;
    this.#options.onState();
  }

  #later(ms: number): void {
    if (this.#stop.signal.aborted) return;
    const next = Math.min(ms, LONGEST_TIMER_MS);
    this.#timer = this.#options.clock.after(
      next,
      () => {
        if (next < ms) this.#later(ms - next);
        else this.#running = this.#renew();
      },
      { unref: true },
    );
  }

  async #renew(): Promise<void> {
    const [secret, wish] = [this.#secret, this.#wish];
    if (secret === undefined || wish === undefined) return;
    const { remote, clock, random, log } = this.#options;
    const { signal } = this.#stop;
    try {
      const token = await requestToken(remote, wish.account, wish.ttlMs, { signal });
      const { expiresAt } = tokenFacts(token);
      this.#own = { token, at: clock.monotonic() };
      const written = await this.#write(secret, token);
      if (written === undefined) return;
      this.#renewed++;
      const until = expiresAt === undefined ? undefined : new Date(expiresAt).toISOString();
      log.info({ until }, "token of the target's account renewed");
      // Unless the watch has already brought the Secret as it was written, or a newer one.
      if (this.#secret === secret) this.follow(written);
    } catch (error) {
      // Where the Secret has been replaced meanwhile, it no longer matters that its old token could not be
      // renewed.
      if (signal.aborted || this.#secret !== secret) return;
      this.#failed++;
      this.#error = error as Error;
      this.#tell();
      log.warn({ err: error }, "token of the target's account not renewed, trying again");
      this.#later(backoffDelay(this.#attempt++, BACKOFF, random));
    }
  }

  /**
   * Writes the token into the Secret, bound to the version that was seen.
   * @returns undefined: somebody else has changed the Secret, and the watch brings that change
   */
  async #write(secret: V1Secret, token: string): Promise<V1Secret | undefined> {
    const { namespace = '', name = '', resourceVersion } = secret.metadata ?? {};
    const kubeconfig = kubeconfigWithToken(kubeconfigIn(secret) ?? '', token);
    const patch = { metadata: { resourceVersion }, ...kubeconfigData(kubeconfig) };
    const { signal } = this.#stop;
    try {
      return await this.#options.local.patch(secrets, { namespace, name }, patch, { type: 'merge', signal });
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return undefined;
      throw error;
    }
  }
}
