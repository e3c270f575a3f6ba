import { LATENCY_BUCKETS } from '../proxy/metrics/histogram.ts';

/** What was counted of one Service at one egress pod, or at all; numbers only grow. */
export interface ServiceTraffic {
  /** Responses that clients got, of HTTP. */
  responses: number;
  /** Those among them that are failures: 5xx, and gRPC's alike. */
  failures: number;
  /** How many lie in each bucket of `LATENCY_BUCKETS` or below; not cumulative, the last is above all. */
  readonly buckets: number[];
  /** Requests and raw connections that each backend has served. */
  readonly served: Map<string, number>;
  /** Those that failed at a backend, and the client was told so. */
  failed: number;
  /** Those that were sent to another backend. */
  moved: number;
}

/** Traffic by Service, `namespace/name`. */
export type Traffic = ReadonlyMap<string, ServiceTraffic>;

/** Most series that are read of one page; those of groups stand by themselves and are few. */
const MAX_LINES = 500_000;
const RESPONSES = 'response_total';
const LATENCIES = 'response_latency_ms_bucket';
const GROUP_REQUESTS = 'outbound_group_requests_total';
const GROUP_MOVED = 'outbound_group_moved_total';

/** Reads the metrics of an egress (Prometheus' text format), as far as they are about Services of groups. */
export function readTraffic(page: string): Traffic {
  const all = new Map<string, ServiceTraffic>();
  /** Cumulative counts, as they stand in the page, by Service and bound. */
  const cumulative = new Map<string, Map<string, number>>();
  for (const line of page.split('\n', MAX_LINES)) {
    const found = readSample(line);
    if (found === undefined) continue;
    const { service, name, labels, value } = found;
    const traffic = entryOf(all, service, noTraffic);
    if (name !== LATENCIES) {
      count(traffic, name, labels, value);
      continue;
    }
    const bounds = entryOf(cumulative, service, () => new Map<string, number>());
    const le = labels.get('le') ?? '';
    bounds.set(le, (bounds.get(le) ?? 0) + value);
  }
  for (const [service, bounds] of cumulative) spread(all.get(service)?.buckets ?? [], bounds);
  return all;
}

/** One line of the page; undefined: it is about something else. */
function readSample(line: string) {
  const name = [RESPONSES, LATENCIES, GROUP_REQUESTS, GROUP_MOVED].find((one) => line.startsWith(`${one}{`));
  const end = line.lastIndexOf('}');
  if (name === undefined || end < 0) return undefined;
  const labels = readLabels(line.slice(name.length + 1, end));
  const text = line.slice(end + 1).trim();
  const value = Number(text.split(' ', 1)[0]);
  const service = serviceOfLabel(labels.get('dst') ?? labels.get('authority'));
  // Counters never fall below nothing: a pod that says so would take away what others have counted.
  const isCount = Number.isFinite(value) && value >= 0;
  return service === undefined || !isCount ? undefined : { service, name, labels, value };
}

function count(
  traffic: ServiceTraffic,
  name: string,
  labels: ReadonlyMap<string, string>,
  value: number,
): void {
  if (name === RESPONSES) {
    traffic.responses += value;
    if (labels.get('classification') === 'failure') traffic.failures += value;
  } else if (name === GROUP_MOVED) traffic.moved += value;
  else if (labels.get('outcome') === 'failed') traffic.failed += value;
  else if (labels.get('outcome') === 'served') {
    const backend = labels.get('backend') ?? '';
    traffic.served.set(backend, (traffic.served.get(backend) ?? 0) + value);
  }
}

/** What was counted between two looks at the same pods. A pod that has started anew counts from nothing. */
export function trafficBetween(
  before: ReadonlyMap<string, Traffic>,
  after: ReadonlyMap<string, Traffic>,
): Map<string, ServiceTraffic> {
  const sum = new Map<string, ServiceTraffic>();
  for (const [pod, services] of after)
    for (const [service, now] of services) {
      const then = before.get(pod)?.get(service);
      const isAnew = then === undefined || then.responses > now.responses;
      addTraffic(entryOf(sum, service, noTraffic), now, isAnew ? noTraffic() : then);
    }
  return sum;
}

/** Adds to `into` what was counted from `since` to `now`; by default all. */
export function addTraffic(into: ServiceTraffic, now: ServiceTraffic, since = noTraffic()): void {
  into.responses += now.responses - since.responses;
  into.failures += now.failures - since.failures;
  into.failed += Math.max(0, now.failed - since.failed);
  into.moved += Math.max(0, now.moved - since.moved);
  for (const [at, value] of now.buckets.entries())
    into.buckets[at] = (into.buckets[at] ?? 0) + value - (since.buckets[at] ?? 0);
  for (const [backend, value] of now.served) {
    const more = Math.max(0, value - (since.served.get(backend) ?? 0));
    into.served.set(backend, (into.served.get(backend) ?? 0) + more);
  }
}

function entryOf<T>(all: Map<string, T>, key: string, make: () => T): T {
  const there = all.get(key);
  if (there !== undefined) return there;
  const made = make();
  all.set(key, made);
  return made;
}

/** Nothing counted yet. */
export function noTraffic(): ServiceTraffic {
  const buckets = Array.from({ length: LATENCY_BUCKETS.length + 1 }, () => 0);
  return { responses: 0, failures: 0, buckets, served: new Map(), failed: 0, moved: 0 };
}

/** The part of responses that are failures, 0 to 1. */
export function errorRate({ responses, failures }: ServiceTraffic): number {
  return responses === 0 ? 0 : failures / responses;
}

/**
 * The time that 99 of 100 responses took at most, milliseconds, as far as buckets tell it: by a straight line
 * within the bucket, as Prometheus does. Undefined: there were none.
 */
export function p99({ buckets }: ServiceTraffic): number | undefined {
  const total = buckets.reduce((sum, one) => sum + one, 0);
  if (total === 0) return undefined;
  let below = 0;
  for (const [at, one] of buckets.entries()) {
    const rank = 0.99 * total;
    if (below + one >= rank) {
      const from = at === 0 ? 0 : (LATENCY_BUCKETS[at - 1] ?? 0);
      const to = LATENCY_BUCKETS[at] ?? from;
      return from + (one === 0 ? 0 : ((rank - below) / one) * (to - from));
    }
    below += one;
  }
  return LATENCY_BUCKETS.at(-1);
}

/** Makes counts of each bucket of cumulative ones. */
function spread(buckets: number[], bounds: ReadonlyMap<string, number>): void {
  let below = 0;
  for (const [at, bound] of [...LATENCY_BUCKETS.map(String), '+Inf'].entries()) {
    const upTo = Math.max(below, bounds.get(bound) ?? below);
    buckets[at] = upTo - below;
    below = upTo;
  }
}

/** `shop/web-federated` of `shop/web-federated:80`, and of `…@west:80`, which is that of one member. */
function serviceOfLabel(label: string | undefined): string | undefined {
  const colon = label?.lastIndexOf(':') ?? -1;
  if (label === undefined || colon < 0 || !label.includes('/')) return undefined;
  return label.slice(0, colon).split('@', 1)[0];
}

/** `a="b",c="d"`; the values of ours have no quotes and no backslashes. */
function readLabels(text: string): Map<string, string> {
  const labels = new Map<string, string>();
  for (const part of text.split('",')) {
    const equals = part.indexOf('="');
    if (equals > 0) labels.set(part.slice(0, equals), part.slice(equals + 2).replace('"', ''));
  }
  return labels;
}
