import { linkOfCluster } from '../api/link/link-of-cluster.ts';
import type { LinkObject } from '../api/link/link-schema.ts';
import type { TargetPlace } from '../proxy/metrics/exposition-labels.ts';
import type { TracedPlace } from '../proxy/tracing/tracer.ts';

/** What traces say of where a target lies. @param place as `Egress.placeOf` gives it */
export function tracedPlace(
  place: TargetPlace | undefined,
  links: readonly LinkObject[],
): TracedPlace | undefined {
  if (place === undefined) return undefined;
  const { cluster } = place;
  return { cluster, link: linkOfCluster(links, cluster)?.metadata?.name };
}
