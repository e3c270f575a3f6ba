import { ANY_REQUEST, type RouteBackend, type Routing } from './routing.ts';

/**
 * The routing of a port of a federated Service: what no rule meets, raw connections of which no rule speaks
 * among it, goes on to its clusters as if nothing were written. Pure.
 * @param routing by the rules that somebody has written about it
 * @param own the port itself
 */
export function overGroup(
  routing: Routing,
  own: Pick<RouteBackend, 'namespace' | 'service' | 'port'>,
): Routing {
  const { namespace, service, port } = own;
  const rest = routing.rules.length;
  const name = `the clusters of ${namespace}/${service}`;
  return {
    rules: [...routing.rules, { name, backends: [{ namespace, service, port, weight: 1 }] }],
    entries: [...routing.entries, { match: ANY_REQUEST, rule: rest }],
    raw: routing.raw ?? rest,
  };
}
