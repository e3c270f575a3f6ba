import type { V1Service } from '@kubernetes/client-node';
import { overBudgetAnnotations, withoutOverBudget } from '../api/exports/export-marks.ts';
import type { Cost } from '../kube/budget/peer-budget.ts';

/** Most ports of one Service: ten times what real ones have. */
const MAX_PORTS = 1000;
type StringMap = Readonly<Record<string, string>>;

/**
 * Limits the size of one Service. One that is too large is cut down to the labels that say that it is
 * exported, with the reason in an annotation of ours, so that only its mirror is left unchanged and not the
 * whole Link is parked. Others are returned as they are, without that annotation in case the target has set
 * it.
 * @param maxMetadata bytes of labels and annotations together
 */
export function withinSize(service: V1Service, maxMetadata: number): V1Service {
  const why = oversize(service, maxMetadata);
  if (why === undefined) return withoutOverBudget(service);
  const { metadata, spec } = service;
  return {
    ...service,
    metadata: {
      ...metadata,
      labels: shortest(metadata?.labels, maxMetadata),
      annotations: overBudgetAnnotations(metadata?.annotations, why),
    },
    ...(spec === undefined ? {} : { spec: { ...spec, ports: spec.ports?.slice(0, MAX_PORTS) ?? [] } }),
  };
}

function oversize({ metadata, spec }: V1Service, maxMetadata: number): string | undefined {
  const bytes = metadataBytes(metadata?.labels) + metadataBytes(metadata?.annotations);
  if (bytes > maxMetadata)
    return `its labels and annotations have ${bytes} bytes, ${maxMetadata} are allowed (--max-service-metadata)`;
  const ports = spec?.ports?.length ?? 0;
  return ports > MAX_PORTS ? `it has ${ports} ports, ${MAX_PORTS} are allowed` : undefined;
}

/** As many labels as fit into `max` bytes, the shortest first: those that selectors match are short. */
function shortest(labels: StringMap | undefined, max: number): Record<string, string> {
  const size = ([key, value]: [string, string]) => key.length + value.length;
  const kept: Record<string, string> = {};
  let used = 0;
  for (const entry of Object.entries(labels ?? {}).sort((a, b) => size(a) - size(b))) {
    used += size(entry);
    if (used > max) break;
    kept[entry[0]] = entry[1];
  }
  return kept;
}

/** What an exported Service costs of its peer's budget. */
export function costOfService({ metadata, spec }: V1Service): Cost {
  return {
    services: 1,
    // The target may send anything where a list is expected.
    ports: Array.isArray(spec?.ports) ? spec.ports.length : 0,
    metadata: metadataBytes(metadata?.labels) + metadataBytes(metadata?.annotations),
    namespace: metadata?.namespace ?? '',
  };
}

/** Bytes of labels or annotations, as the API server counts them for its own limit: keys and values. */
export function metadataBytes(map: Readonly<Record<string, unknown>> | undefined): number {
  let bytes = 0;
  for (const [key, value] of Object.entries(map ?? {}))
    bytes += Buffer.byteLength(key) + Buffer.byteLength(String(value));
  return bytes;
}
