import { tellAll } from '../../base/isolation.ts';
import type { Clock } from '../../base/clock.ts';
import type { LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { Logger } from '../../telemetry/log.ts';
import { iso } from '../x509/certificate.ts';
import type { Identity } from './identity.ts';
import { identityHealth, type LoadedIdentity, type IdentityRefusal } from './loaded-identity.ts';

export interface IdentityStateOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** How to say that a new set could not be had. */
  readonly failed: 'the new one was refused' | 'renewal failed';
}

/**
 * The last good identity, why there is no newer one, and who wants to know. Every source of identities keeps
 * one; a bad set never replaces a good one.
 */
export class IdentityState {
  readonly #options: IdentityStateOptions;
  readonly #listeners = new Set<() => void>();
  #loaded: LoadedIdentity | undefined;
  #refusal: IdentityRefusal | undefined;
  /** What was last told: listeners and log hear of changes, not of every look. */
  #told = '';

  constructor(options: IdentityStateOptions) {
    this.#options = options;
  }

  get current(): Identity | undefined {
    return this.#loaded?.identity;
  }

  get ready(): Health {
    const { clock, failed } = this.#options;
    return identityHealth(this.#loaded, this.#refusal, clock.now(), failed);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** A good set. The same as before keeps the object, so that nobody rebuilds a TLS context for nothing. */
  take(loaded: LoadedIdentity): void {
    const renewed = this.current === undefined || !sameIdentity(this.current, loaded.identity);
    if (renewed) this.#loaded = loaded;
    this.#refusal = undefined;
    this.#tell(renewed);
  }

  /** @param inUse whether it is the set in use that is good no more */
  refuse(error: LinkspanError, inUse: boolean): void {
    this.#refusal = { error, inUse };
    this.#tell(false);
  }

  /** Time has passed: says so when that made a difference. */
  look(): void {
    this.#tell(false);
  }

  /** Nobody is told any more. */
  close(): void {
    this.#listeners.clear();
  }

  #tell(renewed: boolean): void {
    const { log } = this.#options;
    const health = this.ready;
    const state = `${health.ok} ${health.reason}`;
    if (!renewed && state === this.#told) return;
    this.#told = state;
    const identity = this.current;
    if (renewed && identity !== undefined) {
      log.info({ identity: identity.name, notAfter: iso(identity.notAfter) }, 'identity loaded');
    }
    if (this.#refusal !== undefined) {
      log.error(
        { err: this.#refusal.error, identity: identity?.name, usable: health.ok },
        'identity refused',
      );
    } else if (identity !== undefined && health.reason !== '') {
      log.warn({ identity: identity.name, reason: health.reason }, 'identity needs renewal');
    }
    tellAll('listeners of an identity', this.#listeners);
  }
}

function sameIdentity(a: Identity, b: Identity): boolean {
  return a.cert === b.cert && a.key === b.key && a.ca === b.ca;
}
