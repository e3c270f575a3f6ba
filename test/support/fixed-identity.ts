import type { Identity, IdentitySource } from '../../src/identity/sources/identity.ts';

/** A source that always gives the same identity, or never any. */
export function fixedIdentity(identity: Identity | undefined): IdentitySource {
  return {
    current: () => identity,
    subscribe: () => () => undefined,
    ready: { ok: true, reason: '' },
    close: () => Promise.resolve(),
  };
}
