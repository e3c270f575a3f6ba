import { type DemandReport, MAX_DEMAND_TEXT, MAX_DEMANDS } from '../api/answers/demand-report.ts';
import { splitTargetKey } from '../api/ports/target-key.ts';
import { isFailedAnswer } from '../proxy/http/classify.ts';
import type { ProxyCounters } from '../proxy/metrics/counters.ts';
import { readResponseKey } from '../proxy/metrics/histogram.ts';

type Counts = { -readonly [key in keyof DemandReport]: DemandReport[key] };

/** How the requests of each Service with a group fare, for `GET /demand` of the admin port. */
export function demandReports({
  groups,
  targets,
}: Pick<ProxyCounters, 'groups' | 'targets'>): DemandReport[] {
  const services = new Map<string, Counts>();
  for (const [label, { refused, pending }] of groups) {
    // `namespace/name:port`; one of several that no longer have series of their own is nobody's.
    const service = splitTargetKey(label).name;
    if (!service.includes('/') || service.length > MAX_DEMAND_TEXT) continue;
    let counts = services.get(service);
    if (counts === undefined) {
      if (services.size === MAX_DEMANDS) continue;
      services.set(service, (counts = { service, requests: 0, failures: 0, refused: 0, pending: 0 }));
    }
    counts.refused += refused;
    counts.pending += pending;
    const target = targets.get(label);
    if (target === undefined) continue;
    counts.requests += target.requests;
    for (const [key, { count }] of target.responses) {
      const { status, grpc } = readResponseKey(key);
      if (isFailedAnswer(status, grpc)) counts.failures += count;
    }
  }
  return [...services.values()];
}
