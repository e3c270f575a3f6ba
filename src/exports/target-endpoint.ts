/** A mesh proxy beside an endpoint. */
export interface MeshEndpoint {
  /** What its certificate says, and the server name to ask for. */
  readonly identity: string;
  /** Port on which it takes connections that begin with a transport header. */
  readonly port: number;
  /** It does not look into what comes to the endpoint's port. */
  readonly opaque: boolean;
}

/** One place where a target answers: a pod, a process or a machine. */
export interface TargetEndpoint {
  /** IPv4 or IPv6 address (without brackets), or a DNS name. */
  readonly host: string;
  readonly port: number;
  /** False for an endpoint that is known and should get no new traffic. */
  readonly ready: boolean;
  /** `topology.kubernetes.io/zone`, where known. */
  readonly zone?: string;
  /**
   * It is for clients in the gateway's own zone, by the hints of its slice; others are used when none of
   * these can be.
   */
  readonly preferred?: true;
  /** Absent: it is spoken to plainly. */
  readonly mesh?: MeshEndpoint;
}
