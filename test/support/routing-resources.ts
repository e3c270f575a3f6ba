import type { KubeObject, Resource } from '../../src/api/kubernetes/resource.ts';
import { GATEWAY_API_GROUP, SPLIT_GROUP } from '../../src/api/routing/routing-kinds.ts';

/** TrafficSplits, whose kind a test has installed. `T` is what it looks at of one. */
export function trafficSplits<T extends KubeObject>(): Resource<T> {
  const named = { kind: 'TrafficSplit', plural: 'trafficsplits' };
  return { group: SPLIT_GROUP, version: 'v1alpha2', namespaced: true, ...named };
}

/** The same for HTTPRoutes of Gateway API. */
export function httpRoutes<T extends KubeObject>(): Resource<T> {
  return {
    group: GATEWAY_API_GROUP,
    version: 'v1',
    namespaced: true,
    kind: 'HTTPRoute',
    plural: 'httproutes',
  };
}
