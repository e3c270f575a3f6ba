/** A mesh proxy beside an endpoint. */
export interface MeshEndpoint {
  /** Identity that its certificate must have, and server name (SNI) to send. */
  readonly identity: string;
  /** Port on which it takes connections that begin with a transport header. */
  readonly port: number;
  /** Whether the endpoint's port is opaque to it: it does not parse what it carries. */
  readonly opaque: boolean;
}

/** One endpoint of a target: a pod, a process or a machine. */
export interface TargetEndpoint {
  /** IPv4 or IPv6 address (without brackets), or a DNS name. */
  readonly host: string;
  readonly port: number;
  /** False for an endpoint that should get no new traffic. */
  readonly ready: boolean;
  /** It terminates: where it is ready all the same, none is that stays. */
  readonly leaving?: true;
  /** `topology.kubernetes.io/zone`, where known. */
  readonly zone?: string;
  /**
   * By its slice's hints it is meant for clients in the gateway's zone; the others are used when no such
   * endpoint is available.
   */
  readonly preferred?: true;
  /** Absent: it is reached without TLS. */
  readonly mesh?: MeshEndpoint;
}
