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
  /** What of `gatewayMs` a request waits in the gateway until it is sent to an endpoint; default: nothing. */
  readonly gatewayOwnMs?: number | undefined;
}

/**
 * Where most of the time goes: what a request waits before it is sent to its endpoint is the gateway's, what
 * comes then until the answer is the endpoint's, a round trip the network's, and what is left of the egress'
 * time its own (a connection that had to be opened, a queue).
 * @returns undefined where an end is not known
 */
export function whereOf({ egressMs, gatewayMs, rttMs, gatewayOwnMs = 0 }: EndTimes): Where | undefined {
  if (egressMs === undefined || gatewayMs === undefined) return undefined;
  const between = Math.max(0, egressMs - gatewayMs);
  const network = Math.min(rttMs ?? between, between);
  // A mean beside a median.
  const own = Math.min(gatewayOwnMs, gatewayMs);
  const shares: readonly (readonly [Where, number])[] = [
    ['endpoint', gatewayMs - own],
    ['network', network],
    ['gateway', own],
    ['egress', between - network],
  ];
  return shares.reduce((most, one) => (one[1] > most[1] ? one : most))[0];
}
