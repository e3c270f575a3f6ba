/**
 * Linkerd's proxy beside an endpoint: it is spoken to with mTLS, and takes HTTP/1 requests over HTTP/2 with
 * `l5d-orig-proto` (wire protocol 1.1).
 */
export interface MeshPeer {
  /** The identity that its certificate must have; also the server name (SNI). */
  readonly identity: string;
  /** Port on which it takes connections that begin with a transport header. */
  readonly port: number;
  /** Whether it passes the endpoint's port on unread, so that it unwraps nothing: HTTP/1 goes as HTTP/1. */
  readonly opaque: boolean;
}

/** Where an endpoint is and how it is spoken to. */
export interface DialAddress {
  readonly host: string;
  readonly port: number;
  /** Absent: there is no mesh proxy, and it is spoken to in plain TCP. */
  readonly mesh?: MeshPeer;
}

/** Whether HTTP/1 requests to an endpoint go over HTTP/2, because its mesh proxy turns them back. */
export function isUpgrading({ mesh }: DialAddress): boolean {
  return mesh?.opaque === false;
}
