import { addTraffic, errorRate, noTraffic, p99, type ServiceTraffic } from './egress-traffic.ts';
import { type DrillRecord, type DrillSample, LOOK_MS } from './drill-run.ts';

/**
 * `drain`: it is drained, as a drill; `fail`: the egress takes connections to it for dead; `endpoints`: its
 * gateway refuses as if no endpoint were ready.
 */
export const DRILL_KINDS = ['drain', 'fail', 'endpoints'] as const;
export type DrillKind = (typeof DRILL_KINDS)[number];

/**
 * `PASSED`: nobody but who looks on has noticed; `ABORTED`: it was given up; `FAILED`: clients have noticed.
 */
export type DrillVerdict = 'PASSED' | 'ABORTED' | 'FAILED';

/** What became of one Service. Times are seconds, as exact as was looked. */
export interface DrilledService {
  readonly service: string;
  /** Requests and raw connections that were served, by backend. */
  readonly served: Readonly<Record<string, number>>;
  /** Those of which clients were told a failure. */
  readonly failed: number;
  /** Those that were sent to another cluster, without a word to the client. */
  readonly moved: number;
  /** Until another cluster had served the first; null: none has. */
  readonly firstSuccessSeconds: number | null;
  /** Until nothing failed or had to be moved any more; null: it went on until the end. */
  readonly steadySeconds: number | null;
  /** Milliseconds, before and during the drill; null: nobody knows. */
  readonly p99Before: number | null;
  readonly p99During: number | null;
  /** Which part each backend has served, in up to 20 spans of time of the same length. */
  readonly shares: readonly { readonly at: number; readonly parts: Readonly<Record<string, number>> }[];
}

/** The report of a drill, for programs. */
export interface DrillReport {
  readonly cluster: string;
  readonly kind: DrillKind;
  readonly verdict: DrillVerdict;
  /** Why it is not PASSED, one line each. */
  readonly reasons: readonly string[];
  readonly seconds: number;
  /** The times of the report are as exact as this. */
  readonly resolutionSeconds: number;
  readonly services: readonly DrilledService[];
  /** What there was at least, as part of what was asked, of Services that had too little. */
  readonly capacityShort: Readonly<Record<string, number>>;
  /** Pods of the egress that did not say what they counted. */
  readonly silentPods: readonly string[];
}

/** What was drilled. */
export interface DrillSubject {
  readonly cluster: string;
  readonly kind: DrillKind;
  /** Services that it was about. */
  readonly services: readonly string[];
  /** The part of responses that may fail, 0 to 1. */
  readonly mayFail: number;
  /**
   * Whether a backend of a Service leads to the cluster, by the names that metrics have; default: it is
   * called so.
   */
  readonly leads?: LeadsThere | undefined;
}

/** @param service `namespace/name` */
export type LeadsThere = (service: string, backend: string) => boolean;

const MAX_SPANS = 20;
/** How long requests that were in hand may take, milliseconds. */
const IN_HAND_MS = 5000;
/** Failures may be that many times as frequent as they usually are. */
const USUAL_TIMES = 2;

/** Works out the report of a drill from what was seen. Pure. */
export function drillReport(record: DrillRecord, subject: DrillSubject): DrillReport {
  const { cluster, kind } = subject;
  const services = subject.services.map((service) => drilled(service, record, leadsOf(subject)));
  const capacityShort: Record<string, number> = {};
  for (const { short } of record.samples)
    for (const [service, ratio] of short)
      capacityShort[service] = Math.min(ratio, capacityShort[service] ?? ratio);
  const failures = services.flatMap((one) => whyFailed(one, record, subject));
  const nothing = services.every(({ served, failed }) => sumOf(served) + failed === 0);
  const reasons =
    record.aborted !== undefined
      ? [record.aborted]
      : [...failures, ...(nothing ? ['no request was seen: it has shown nothing'] : [])];
  const passed = reasons.length === 0 ? 'PASSED' : 'FAILED';
  return {
    cluster,
    kind,
    verdict: record.aborted === undefined ? passed : 'ABORTED',
    reasons,
    seconds: record.endedAt / 1000,
    resolutionSeconds: LOOK_MS / 1000,
    services,
    capacityShort,
    silentPods: record.silent,
  };
}

function leadsOf({ cluster, leads = (_, backend) => backend === cluster }: DrillSubject): LeadsThere {
  return leads;
}

function drilled(
  service: string,
  { usual, samples, endedAt }: DrillRecord,
  leads: LeadsThere,
): DrilledService {
  const own = samples.map((sample) => ({ at: sample.at, its: sample.traffic.get(service) ?? noTraffic() }));
  const during = own.filter(({ at }) => at <= endedAt);
  const all = sum(own.map(({ its }) => its));
  const first = during.find(({ its }) =>
    [...its.served].some(([name, count]) => !leads(service, name) && count > 0),
  );
  const restless = during.findLastIndex(({ its }) => its.failed + its.failures + its.moved > 0);
  // What fails at the very end has not come to rest.
  const steady = restless < 0 ? 0 : restless + 1 < during.length ? (during[restless]?.at ?? 0) : undefined;
  const before = usual.get(service);
  const round = (ms: number | undefined) => (ms === undefined ? null : Number(ms.toFixed(1)));
  return {
    service,
    served: byName(all.served),
    failed: Math.max(all.failed, all.failures),
    moved: all.moved,
    firstSuccessSeconds: first === undefined ? null : first.at / 1000,
    steadySeconds: steady === undefined ? null : steady / 1000,
    p99Before: round(before === undefined ? undefined : p99(before)),
    p99During: round(p99(sum(during.map(({ its }) => its)))),
    shares: spans(samples, service),
  };
}

function whyFailed(one: DrilledService, record: DrillRecord, subject: DrillSubject): string[] {
  const { mayFail, kind, cluster } = subject;
  const { usual } = record;
  const total = sumOf(one.served) + one.failed;
  const rate = total === 0 ? 0 : one.failed / total;
  const before = usual.get(one.service);
  const usually = before === undefined ? 0 : errorRate(before);
  const reasons: string[] = [];
  if (rate > mayFail && rate > USUAL_TIMES * usually)
    reasons.push(`${one.service}: ${one.failed} of ${total} requests failed`);
  const still = kind === 'drain' ? 0 : servedMeanwhile(record, one.service, leadsOf(subject));
  if (still > 0)
    reasons.push(`${one.service}: ${cluster} served ${still} requests meanwhile, it was not taken away`);
  return reasons;
}

/**
 * How many requests the cluster has served although it was taken for dead: an egress that knows nothing of
 * drills goes on. Those that were in hand may come to their end in the first half.
 */
function servedMeanwhile({ samples, endedAt }: DrillRecord, service: string, leads: LeadsThere): number {
  const late = samples.filter(({ at }) => at > Math.min(IN_HAND_MS, endedAt / 2) && at <= endedAt);
  const { served } = sum(late.map(({ traffic }) => traffic.get(service) ?? noTraffic()));
  return [...served].reduce((all, [name, count]) => (leads(service, name) ? all + count : all), 0);
}

function spans(samples: readonly DrillSample[], service: string): DrilledService['shares'] {
  const size = Math.max(1, Math.ceil(samples.length / MAX_SPANS));
  const found: { at: number; parts: Record<string, number> }[] = [];
  for (let from = 0; from < samples.length; from += size) {
    const some = samples.slice(from, from + size);
    const { served } = sum(some.map(({ traffic }) => traffic.get(service) ?? noTraffic()));
    const total = [...served.values()].reduce((all, count) => all + count, 0);
    if (total === 0) continue;
    const parts = new Map([...served].map(([name, count]) => [name, Number((count / total).toFixed(4))]));
    found.push({ at: (some.at(-1)?.at ?? 0) / 1000, parts: byName(parts) });
  }
  return found;
}

function sum(some: readonly ServiceTraffic[]): ServiceTraffic {
  const all = noTraffic();
  for (const one of some) addTraffic(all, one);
  return all;
}

/** An object with the same entries, in the order of their names. */
function byName(numbers: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...numbers].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function sumOf(served: Readonly<Record<string, number>>): number {
  return Object.values(served).reduce((all, count) => all + count, 0);
}
