/** Inclusive range of ports on which egress listens for relay mirrors. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Below node ports (30000) and the kernel's ephemeral range (32768), above the well-known. */
export const DEFAULT_EGRESS_RANGE: PortRange = { first: 10_000, last: 29_999 };

/**
 * Service port → egress port, as the annotations `linkspan.dev/egress-ports` (mirror) and
 * `egress-ports.linkspan.dev/<cluster>` (federated Service) hold it: JSON.
 */
export type EgressPorts = Readonly<Record<number, number>>;

/**
 * Reads such an annotation; entries that are no ports are left out, and what is no map at all counts as
 * empty: it is made anew.
 */
export function readEgressPorts(text: string | undefined): EgressPorts {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    if (typeof value !== 'object' || value === null) return {};
    const valid = Object.entries(value).filter(
      (entry): entry is [string, number] => isPort(Number(entry[0])) && isPort(entry[1]),
    );
    return Object.fromEntries(valid);
  } catch {
    return {};
  }
}

/** The annotation's value; keys are in numeric order, so that equal maps are equal text. */
export function writeEgressPorts(ports: EgressPorts): string {
  return JSON.stringify(ports);
}

/** Whether a value of JSON is a port. */
export function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
}
