/** A list of ports, read. */
interface PortList {
  /** Ranges in order, none of which touches another. */
  readonly ranges: readonly (readonly [from: number, to: number])[];
  readonly names: ReadonlySet<string>;
}

/**
 * The lists that were read last: a Service reads one for each of its ports, a gateway for each of its pods.
 */
const KEPT_LISTS = 32;
const lists = new Map<string, PortList>();

/**
 * Whether a port is in a list as Linkerd's annotations hold it: numbers (`3306`), ranges (`8000-8100`) and
 * port names, comma-separated.
 * @param names the port's names, if it has any
 */
export function isListed(list: string, port: number, names: readonly string[]): boolean {
  if (list === '') return false;
  const read = listOf(list);
  return names.some((name) => read.names.has(name)) || isInRanges(read.ranges, port);
}

/** The parsed list, from the cache where it was read before. */
function listOf(text: string): PortList {
  const known = lists.get(text);
  if (known !== undefined) return known;
  const list = parsePortList(text);
  if (lists.size >= KEPT_LISTS) for (const oldest of lists.keys()) if (lists.delete(oldest)) break;
  lists.set(text, list);
  return list;
}

function parsePortList(text: string): PortList {
  const ranges: [number, number][] = [];
  const names = new Set<string>();
  for (const entry of text.split(',')) {
    const item = entry.trim();
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(item);
    if (range !== null) ranges.push([Number(range[1]), Number(range[2] ?? range[1])]);
    else if (item !== '') names.add(item);
  }
  return { ranges: merged(ranges), names };
}

function merged(ranges: readonly [number, number][]): [number, number][] {
  const all: [number, number][] = [];
  for (const [from, to] of ranges.filter(([low, high]) => low <= high).sort((a, b) => a[0] - b[0])) {
    const last = all.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else all.push([from, to]);
  }
  return all;
}

function isInRanges(ranges: PortList['ranges'], port: number): boolean {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [from, to] = ranges[middle] ?? [0, 0];
    if (port < from) high = middle - 1;
    else if (port > to) low = middle + 1;
    else return true;
  }
  return false;
}
