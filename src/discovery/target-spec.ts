import type { EffectivePolicy } from '../policy/effective-policy.ts';
import type { PortProtocol } from '../api/ports/port-protocol.ts';
import type { RouteBackend, Routing } from '../policy/routing/routing.ts';
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
  /** In a stable order, so that an unchanged set compares equal; empty when there are none. */
  readonly endpoints: readonly TargetEndpoint[];
  /**
   * Protocol of the port (`portProtocol`): how endpoints are reached, and what clients may send. Absent = not
   * declared: detected for each connection.
   */
  readonly protocol?: PortProtocol;
  /**
   * Identity patterns that may use this target; absent = any identity of the trust domain; empty = nobody.
   */
  readonly allow?: readonly string[];
  /** How its requests are routed; absent: they go to its own endpoints. */
  readonly routed?: RoutedSpec;
}

/** The rules by which requests for a target go to others, and those others. */
export interface RoutedSpec {
  readonly routing: Routing;
  /**
   * The backends that exist, by `leafKey`: Services that need not be exported. One that is missing here has
   * no endpoints.
   */
  readonly leaves: Readonly<Record<string, TargetSpec>>;
}

/** The key of a backend among the leaves. */
export function leafKey({
  namespace,
  service,
  port,
}: Pick<RouteBackend, 'namespace' | 'service' | 'port'>): string {
  return `${namespace}/${service}:${port}`;
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
   * Not ok until the first complete set of targets is known. Later problems are given as the reason, while
   * the last good set is served.
   */
  readonly ready: Health;
  close(): Promise<void>;
}
