import type { EffectivePolicy } from '../policy/effective-policy.ts';
import type { PortProtocol } from '../api/ports/port-protocol.ts';
import type { TargetEndpoint } from '../exports/target-endpoint.ts';
import type { Health } from '../telemetry/admin.ts';

/**
 * One port of one exported Service: what the transport header names, where to send it, and what holds for its
 * traffic.
 */
export interface TargetSpec extends EffectivePolicy {
  /** Fully qualified, no trailing dot: `web.demo.svc.cluster.local`. */
  readonly name: string;
  /** The Service's port, not the pods'. */
  readonly port: number;
  /** In a stable order: an unchanged set compares equal. Empty when nobody answers. */
  readonly endpoints: readonly TargetEndpoint[];
  /**
   * What the port speaks (`portProtocol`): how endpoints are spoken to, and which bytes may come for them.
   * Absent = nobody says; clients are looked at.
   */
  readonly protocol?: PortProtocol;
  /**
   * Identity patterns that may use this target; absent = any identity of the trust domain; empty = nobody.
   */
  readonly allow?: readonly string[];
}

/**
 * Everything that may be reached through a gateway: a target that is not in here does not exist for clients.
 */
export interface TargetSource {
  /** The target of a name (case and trailing dot do not matter) and Service port. */
  get(name: string, port: number): TargetSpec | undefined;
  /** Keys (`targetKey` of src/api/ports/target-key.ts) of all targets. */
  keys(): Iterable<string>;
  /**
   * Calls `listener` with the key of each target that appeared, changed or went. Returns the unsubscriber.
   */
  subscribe(listener: (key: string) => void): () => void;
  /**
   * Not ok until the first complete set of targets is known; later problems are in the reason while the last
   * good set is served.
   */
  readonly ready: Health;
  close(): Promise<void>;
}
