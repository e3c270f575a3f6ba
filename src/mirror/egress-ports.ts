import { EGRESS_PORTS } from '../base/names.ts';

/** Inclusive range of ports on which egress listens for relay mirrors. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Below node ports (30000) and the kernel's ephemeral range (32768), above the well-known. */
export const DEFAULT_EGRESS_RANGE: PortRange = { first: 10_000, last: 29_999 };

/** Service port → egress port. */
export type EgressPorts = Readonly<Record<number, number>>;

/** Reads annotation `linkspan.dev/egress-ports`; anything that is not such a map counts as empty, it is made anew. */
export function readEgressPorts(annotations: Readonly<Record<string, string>> | undefined): EgressPorts {
  try {
    const value: unknown = JSON.parse(annotations?.[EGRESS_PORTS] ?? '{}');
    if (typeof value !== 'object' || value === null) return {};
    const valid = Object.entries(value).filter(
      (entry): entry is [string, number] => Number.isInteger(Number(entry[0])) && Number.isInteger(entry[1]),
    );
    return Object.fromEntries(valid);
  } catch {
    return {};
  }
}

/** The annotation's value, keys in numeric order, so that equal maps are equal text. */
export function writeEgressPorts(ports: EgressPorts): string {
  return JSON.stringify(ports);
}

/**
 * Egress ports for the service ports of one mirror: those it has stay, new ones are placed by a hash of mirror and port, so that a mirror which is
 * deleted and made again gets the ports it had. Undefined when the range is full.
 *
 * @param mirror `namespace/name` of the mirror Service
 * @param taken whether another mirror holds that port
 */
export function allocateEgressPorts(
  mirror: string,
  wanted: readonly number[],
  current: EgressPorts,
  taken: (port: number) => boolean,
  range: PortRange = DEFAULT_EGRESS_RANGE,
): EgressPorts | undefined {
  const result: Record<number, number> = {};
  const own = new Set<number>();
  const keep = (servicePort: number, port: number) => {
    result[servicePort] = port;
    own.add(port);
  };
  const usable = (port: number) => inRange(port, range) && !own.has(port) && !taken(port);
  for (const servicePort of wanted) {
    const port = current[servicePort];
    if (port !== undefined && usable(port)) keep(servicePort, port);
  }
  for (const servicePort of wanted) {
    if (result[servicePort] !== undefined) continue;
    const port = probe(hash(`${mirror}:${servicePort}`), range, usable);
    if (port === undefined) return undefined;
    keep(servicePort, port);
  }
  return result;
}

function inRange(port: number, range: PortRange): boolean {
  return port >= range.first && port <= range.last;
}

function probe(start: number, range: PortRange, usable: (port: number) => boolean): number | undefined {
  const size = range.last - range.first + 1;
  for (let step = 0; step < size; step++) {
    const port = range.first + ((start + step) % size);
    if (usable(port)) return port;
  }
  return undefined;
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}
