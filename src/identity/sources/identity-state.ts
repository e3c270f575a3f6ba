import { notifyAll } from '../../base/isolation.ts';
import type { Clock } from '../../base/clock.ts';
import type { LinkspanError } from '../../api/errors/linkspan-error.ts';
import type { Health } from '../../telemetry/admin.ts';
import type { Logger } from '../../telemetry/log.ts';
import { isoTime } from '../x509/certificate.ts';
import type { Identity } from './identity.ts';
import { identityHealth, type LoadedIdentity, type IdentityRefusal } from './loaded-identity.ts';

export interface IdentityStateOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Words for the log and `/ready` when a new set could not be had. */
  readonly failed: 'the new one was refused' | 'renewal failed';
}

/**
 * The last good identity, why a newer one was refused, and the listeners to both. Every source of identities
 * has one; a bad set never replaces a good one.
 */
export class IdentityState {
  readonly #options: IdentityStateOptions;
  readonly #listeners = new Set<() => void>();
  #loaded: LoadedIdentity | undefined;
  #refusal: IdentityRefusal | undefined;
  /** What was last reported: listeners and the log hear of changes only. */
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

  /**
   * Takes a verified set. An equal one keeps the former object, so that no TLS context is rebuilt needlessly.
   */
  take(loaded: LoadedIdentity): void {
    const renewed = this.current === undefined || !sameIdentity(this.current, loaded.identity);
    if (renewed) this.#loaded = loaded;
    this.#refusal = undefined;
    this.#tell(renewed);
  }

  /** Records why a set was refused. @param inUse whether it is the set in use, which has become invalid */
  refuse(error: LinkspanError, inUse: boolean): void {
    this.#refusal = { error, inUse };
    this.#tell(false);
  }

  /** Checks again with the current time, and notifies listeners where the result differs. */
  look(): void {
    this.#tell(false);
  }

  /** Removes all listeners. */
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
      log.info({ identity: identity.name, notAfter: isoTime(identity.notAfter) }, 'identity loaded');
    }
    if (this.#refusal !== undefined) {
      log.error(
        { err: this.#refusal.error, identity: identity?.name, usable: health.ok },
        'identity refused',
      );
    } else if (identity !== undefined && health.reason !== '') {
      log.warn({ identity: identity.name, reason: health.reason }, 'identity needs renewal');
    }
    notifyAll('listeners of an identity', this.#listeners);
  }
}

function sameIdentity(a: Identity, b: Identity): boolean {
  return a.cert === b.cert && a.key === b.key && a.ca === b.ca;
}
