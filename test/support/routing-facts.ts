import { type ReadRoute, readRoute, type RouteKind } from '../../src/policy/routing/read-route.ts';
import type { RoutingFacts } from '../../src/policy/routing/service-routing.ts';

/** What a test says of a route; its parent is the Service `web` of `demo`. */
export interface WrittenRoute {
  readonly rules?: unknown;
  readonly name?: string;
  readonly namespace?: string;
  readonly group?: string;
  /** Seconds since the epoch. */
  readonly created?: number;
  readonly parentRefs?: unknown;
  readonly annotations?: Record<string, string>;
}

/** A route that is read as an API server has it. */
export function routeOf(written: WrittenRoute, kind: RouteKind = 'HTTPRoute'): ReadRoute {
  const { rules, name = 'route', namespace = 'demo', group = 'gateway.networking.k8s.io' } = written;
  const {
    created = 0,
    parentRefs = [{ group: '', kind: 'Service', name: 'web' }],
    annotations = {},
  } = written;
  return readRoute(kind, group, {
    metadata: { name, namespace, annotations, creationTimestamp: new Date(created * 1000) },
    spec: { parentRefs, ...(rules === undefined ? {} : { rules }) },
  });
}

/** Facts of port 80 of the Service `web` of `demo`, in a cluster where every Service exists. */
export function routingFacts(facts: Partial<RoutingFacts> = {}): RoutingFacts {
  return {
    namespace: 'demo',
    service: 'web',
    port: 80,
    routes: [],
    splits: [],
    follow: 'all',
    knownPort: () => 'known',
    granted: () => false,
    ...facts,
  };
}
