import type { FaultRule } from '../base/faults.ts';
import type { RateLimits } from '../base/rate-limits.ts';
import type { RequestRules } from '../base/request-rules.ts';
import type { PortProtocol } from '../api/ports/protocol.ts';
import type { Health } from '../telemetry/admin.ts';
import type { AccrualRules } from './accrual.ts';

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
  /** It is for clients in the gateway's own zone, by the hints of its slice; others are used when none of these can be. */
  readonly preferred?: true;
  /** Absent: it is spoken to plainly. */
  readonly mesh?: MeshEndpoint;
}

/** One port of one exported Service: what the transport header names and where to send it. */
export interface TargetSpec {
  /** Fully qualified, no trailing dot: `web.demo.svc.cluster.local`. */
  readonly name: string;
  /** The Service's port, not the pods'. */
  readonly port: number;
  /** In a stable order: an unchanged set compares equal. Empty when nobody answers. */
  readonly endpoints: readonly TargetEndpoint[];
  /** What the port speaks (`portProtocol`): how endpoints are spoken to, and which bytes may come for them. Absent = nobody says; clients are looked at. */
  readonly protocol?: PortProtocol;
  /** Which failures shut an endpoint; absent = the gateway's own rules. */
  readonly accrual?: AccrualRules;
  /** Retries and timeouts; absent = none. */
  readonly requests?: RequestRules;
  /** Identity patterns that may use this target; absent = any identity of the trust domain; empty = nobody. */
  readonly allow?: readonly string[];
  /** How much may come; absent = as much as likes. */
  readonly limits?: RateLimits;
  /** What a drill does to it; absent = nothing. */
  readonly faults?: readonly FaultRule[];
}

/** Everything that may be reached through a gateway: a target that is not in here does not exist for clients. */
export interface TargetSource {
  /** The target of a name (case and trailing dot do not matter) and Service port. */
  get(name: string, port: number): TargetSpec | undefined;
  /** Keys (`targetKey`) of all targets. */
  keys(): Iterable<string>;
  /** Calls `listener` with the key of each target that appeared, changed or went. Returns the unsubscriber. */
  subscribe(listener: (key: string) => void): () => void;
  /** Not ok until the first complete set of targets is known; later problems are in the reason while the last good set is served. */
  readonly ready: Health;
  close(): Promise<void>;
}

/** `name:port`, lower case and without trailing dot: the key of a target. */
export function targetKey(name: string, port: number): string {
  const bare = name.endsWith('.') ? name.slice(0, -1) : name;
  return `${bare.toLowerCase()}:${port}`;
}
