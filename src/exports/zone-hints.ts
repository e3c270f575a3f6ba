/** The properties of an endpoint that zone hints depend on. */
export interface HintedEndpoint {
  readonly ready: boolean;
  /** `hints.forZones` of the slice. */
  readonly forZones: readonly string[];
}

/**
 * Which endpoints are for clients in `zone`, by kube-proxy's rule (KEP-2433, KEP-4444; Services with
 * `trafficDistribution` or topology-aware routing): hints count only where every ready endpoint has some and
 * one of those is for this zone. Where they do not, none is preferred, and all are equal. Pure.
 */
export function preferredByZone(endpoints: readonly HintedEndpoint[], zone: string | undefined): boolean[] {
  const none = () => endpoints.map(() => false);
  if (zone === undefined) return none();
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  if (ready.some(({ forZones }) => forZones.length === 0)) return none();
  if (!ready.some(({ forZones }) => forZones.includes(zone))) return none();
  return endpoints.map(({ forZones }) => forZones.includes(zone));
}
