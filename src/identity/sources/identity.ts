import type { Health } from '../../telemetry/admin.ts';

/** Trust anchors for the identities of one trust domain. */
export interface BoundAnchors {
  /** DNS name; domains below it that have no anchors of their own are included. */
  readonly domain: string;
  /** PEM bundle; empty = no identity of this domain is accepted, because the anchors could not be read. */
  readonly pem: string;
}

/**
 * A workload's identity: the certificate that it presents in an mTLS handshake, and the anchors that it
 * trusts. Certificate, key and anchors have been verified together.
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
   * Not ok while there is no identity or it has expired; otherwise a reason that is not empty warns of
   * trouble ahead.
   */
  readonly ready: Health;
  close(): Promise<void>;
}
