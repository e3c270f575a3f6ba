import type { Health } from '../../telemetry/admin.ts';

/** Trust anchors for the identities of one trust domain. */
export interface BoundAnchors {
  /** DNS name; the domains below it are meant too, where they have no anchors of their own. */
  readonly domain: string;
  /** PEM bundle; empty = nobody may name this domain (what was to say who may cannot be read). */
  readonly pem: string;
}

/**
 * A workload's identity: what it presents in an mTLS handshake and whom it trusts. Always consistent:
 * verified as one set.
 */
export interface Identity {
  /** First DNS or URI SAN of the leaf; what the peer sees. */
  readonly name: string;
  /** PEM: leaf, then intermediates. */
  readonly cert: string;
  /** PEM: private key of the leaf (PKCS#8 or SEC1). */
  readonly key: string;
  /** PEM bundle of all trust anchors. */
  readonly ca: string;
  /** Those of them that may vouch for one trust domain only (`trustOf` has the rule); default none. */
  readonly bound?: readonly BoundAnchors[];
  /** End of the leaf's validity, milliseconds since the epoch. */
  readonly notAfter: number;
}

/** Where a process gets its identity from. A new leaf or a new trust bundle arrives without a restart. */
export interface IdentitySource {
  /**
   * The last good identity; undefined until there has been one. Never half of an old and half of a new set.
   */
  current(): Identity | undefined;
  /** Calls `listener` when `current()` or `ready` has changed. Returns the unsubscriber. */
  subscribe(listener: () => void): () => void;
  /**
   * Not ok while there is no identity or it has expired; otherwise the reason tells of trouble ahead (empty
   * when there is none).
   */
  readonly ready: Health;
  close(): Promise<void>;
}
