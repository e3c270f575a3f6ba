/** A part of the way of a request across clusters. */
export type Where = 'egress' | 'endpoint' | 'gateway' | 'network';

/** Medians of the time to the first byte, milliseconds; undefined: nothing was measured. */
export interface EndTimes {
  /** As the egress has it, from the client's request to the first byte of the answer. */
  readonly egressMs: number | undefined;
  /** As the gateway has it. */
  readonly gatewayMs: number | undefined;
  /** A round trip between the two. */
  readonly rttMs: number | undefined;
  /** What of `gatewayMs` the gateway itself took, where it says so. */
  readonly gatewayOwnMs?: number | undefined;
}

/**
 * Where most of the time goes: what the gateway waited for is the endpoint's, a round trip the network's,
 * and what is left of the egress' time its own (a connection that had to be opened, a queue).
 * @returns undefined where an end is not known
 */
export function whereOf({ egressMs, gatewayMs, rttMs, gatewayOwnMs = 0 }: EndTimes): Where | undefined {
  if (egressMs === undefined || gatewayMs === undefined) return undefined;
  const between = Math.max(0, egressMs - gatewayMs);
  const network = Math.min(rttMs ?? between, between);
  const shares: readonly (readonly [Where, number])[] = [
    ['endpoint', Math.max(0, gatewayMs - gatewayOwnMs)],
    ['network', network],
    ['gateway', gatewayOwnMs],
    ['egress', between - network],
  ];
  return shares.reduce((most, one) => (one[1] > most[1] ? one : most))[0];
}
