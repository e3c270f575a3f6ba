/**
 * A mesh proxy beside an endpoint: it wants mTLS, and takes HTTP/1 as HTTP/2 with `l5d-orig-proto` (wire
 * protocol 1.1).
 */
export interface MeshPeer {
  /** What its certificate must say; also the server name to ask for. */
  readonly identity: string;
  /** Port on which it takes connections that begin with a transport header. */
  readonly port: number;
  /** It does not look into what is sent to the endpoint's port, so nothing may be wrapped for it. */
  readonly opaque: boolean;
}

/** Where an endpoint is and how it is spoken to. */
export interface DialAddress {
  readonly host: string;
  readonly port: number;
  /** Absent: plain. */
  readonly mesh?: MeshPeer;
}

/** A mesh proxy takes requests for HTTP/1 applications over HTTP/2, unless it does not look into them. */
export function isUpgrading({ mesh }: DialAddress): boolean {
  return mesh?.opaque === false;
}
