import type { V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../api/annotations.ts';
import { EXPORTED_LABEL, EXPORT_GATEWAY_NAME, EXPORT_GATEWAY_NAMESPACE, OVER_BUDGET } from '../api/names.ts';
import type { Cost } from '../kube/budget/peer-budget.ts';

/** Ports of one Service: ten times what real ones have. */
const MAX_PORTS = 1000;
/** Annotations that say whether and how a Service is exported; without them it would look as if it were not. */
const EXPORT_KEYS = [EXPORTED_LABEL, EXPORT_GATEWAY_NAMESPACE, EXPORT_GATEWAY_NAME] as const;
/** What they name are DNS names. */
const MAX_NAME = 253;

type StringMap = Readonly<Record<string, string>>;

/**
 * A Service that alone is more than one may be, cut down to what says that it is exported, with the reason in an annotation of ours: so that one Service costs its peer no more than that, and its mirror is
 * left alone rather than the whole Link. Others come back as they are, without that annotation if somebody has written it over there.
 * @param maxMetadata bytes of labels and annotations together
 */
export function withinSize(service: V1Service, maxMetadata: number): V1Service {
  const why = oversize(service, maxMetadata);
  const { metadata, spec } = service;
  if (why === undefined) {
    if (readAnnotation(metadata?.annotations, OVER_BUDGET) === undefined) return service;
    const { [OVER_BUDGET]: _, ...annotations } = metadata?.annotations ?? {};
    return { ...service, metadata: { ...metadata, annotations } };
  }
  return {
    ...service,
    metadata: {
      ...metadata,
      labels: shortest(metadata?.labels, maxMetadata),
      annotations: { ...exportAnnotations(metadata?.annotations), [OVER_BUDGET]: why },
    },
    ...(spec === undefined ? {} : { spec: { ...spec, ports: spec.ports?.slice(0, MAX_PORTS) ?? [] } }),
  };
}

/** Why a Service was cut down; undefined when it was not. */
export function overBudgetOf(service: V1Service | undefined): string | undefined {
  return readAnnotation(service?.metadata?.annotations, OVER_BUDGET);
}

function oversize({ metadata, spec }: V1Service, maxMetadata: number): string | undefined {
  const bytes = metadataBytes(metadata?.labels) + metadataBytes(metadata?.annotations);
  if (bytes > maxMetadata)
    return `its labels and annotations have ${bytes} bytes, ${maxMetadata} are allowed (--max-service-metadata)`;
  const ports = spec?.ports?.length ?? 0;
  return ports > MAX_PORTS ? `it has ${ports} ports, ${MAX_PORTS} are allowed` : undefined;
}

/** As many labels as fit, the shortest first: those that selectors look at are short. */
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

function exportAnnotations(annotations: StringMap | undefined): Record<string, string> {
  const kept = EXPORT_KEYS.flatMap((key) => {
    const value = readAnnotation(annotations, key);
    return value !== undefined && value.length <= MAX_NAME ? [[key, value] as const] : [];
  });
  return Object.fromEntries(kept);
}

/** What an exported Service costs of its peer's budget. */
export function costOfService({ metadata, spec }: V1Service): Cost {
  return {
    services: 1,
    // What another cluster calls a list need not be one.
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
