import type { GatewayFacts } from '../reconcile/mirror-facts.ts';

/** The path to one cluster's gateway, and since when it is as it is. */
export interface PathSince {
  readonly cluster: string;
  readonly state: 'alive' | 'dead' | 'unknown';
  /** Milliseconds since the epoch. */
  readonly since: number;
}

/**
 * Deaths that lie no further apart count as one, milliseconds: a gateway that is silent is dead up to 8.15 s
 * after it went, one that refuses connections after 1.9 s (`address-state.ts`), and the conditions of other
 * replicas' Links have whole seconds.
 */
export const SAME_MOMENT_MS = 15_000;

/**
 * The clusters whose gateways have died in one moment, where none is left: two strangers do not fail
 * together, so this cluster's own network is suspected, or this replica's. Those that had been dead for
 * longer say nothing. Empty: it is not suspected. Pure.
 */
export function suspectedDeaths(paths: readonly PathSince[]): string[] {
  if (paths.some(({ state }) => state === 'alive')) return [];
  const dead = paths.filter(({ state }) => state === 'dead');
  const last = Math.max(...dead.map(({ since }) => since));
  const together = dead.filter(({ since }) => last - since <= SAME_MOMENT_MS);
  const clusters = new Set(together.map(({ cluster }) => cluster));
  return clusters.size < 2 ? [] : [...clusters].sort();
}

/** The state of a path for that purpose: what is not known, or refused by a policy, says nothing. */
export function pathStateOf(path: GatewayFacts['path'] | undefined): PathSince['state'] {
  return path === 'alive' || path === 'dead' ? path : 'unknown';
}

/** As a gateway is taken for slices while its death is not believed: everything that is known of it works. */
export function believed(gateway: GatewayFacts | undefined): GatewayFacts | undefined {
  return gateway?.doubted === true ? { ...gateway, path: 'alive', alive: gateway.known } : gateway;
}
