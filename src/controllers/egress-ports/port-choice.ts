import { DEFAULT_EGRESS_RANGE, type EgressPorts, type PortRange } from '../../api/egress/egress-ports.ts';

/**
 * Chooses egress ports for the service ports of one mirror. Those that it has stay; new ones are placed by a
 * hash of mirror and port, so that a mirror that is deleted and made again gets the ports that it had.
 * @param mirror its holder (`holderOf`)
 * @param wanted service ports
 * @param current the egress ports that it has
 * @param taken whether another holder has that port
 * @returns undefined: the range is full
 */
export function chooseEgressPorts(
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
    const port = probe(homePort(mirror, servicePort, range), range, usable);
    if (port === undefined) return undefined;
    keep(servicePort, port);
  }
  return result;
}

/**
 * How far a port is behind the one that is tried first for a mirror's service port: how many ports had to be
 * taken for it to be chosen. Undefined: the port is outside of the range.
 */
export function distanceFromHome(
  mirror: string,
  servicePort: number,
  port: number,
  range: PortRange,
): number | undefined {
  const size = range.last - range.first + 1;
  return inRange(port, range) ? (port - homePort(mirror, servicePort, range) + size) % size : undefined;
}

/** The port that is tried first. */
function homePort(mirror: string, servicePort: number, range: PortRange): number {
  return range.first + (hash(`${mirror}:${servicePort}`) % (range.last - range.first + 1));
}

function inRange(port: number, range: PortRange): boolean {
  return port >= range.first && port <= range.last;
}

/** Linear probing: the first usable port from `start` on, around the end of the range. */
function probe(start: number, range: PortRange, usable: (port: number) => boolean): number | undefined {
  const size = range.last - range.first + 1;
  for (let step = 0; step < size; step++) {
    const port = range.first + ((start - range.first + step) % size);
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
