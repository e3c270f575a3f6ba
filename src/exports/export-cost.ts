import type { V1Service } from '@kubernetes/client-node';
import type { Cost } from '../kube/budget/peer-budget.ts';

/** What an exported Service costs of its peer's budget. */
export function costOfService({ metadata, spec }: V1Service): Cost {
  return {
    services: 1,
    // What another cluster calls a list need not be one.
    ports: Array.isArray(spec?.ports) ? spec.ports.length : 0,
    metadata: bytesOf(metadata?.labels) + bytesOf(metadata?.annotations),
    namespace: metadata?.namespace ?? '',
  };
}

/** Bytes of labels or annotations, as the API server counts them for its own limit: keys and values. */
export function bytesOf(map: Readonly<Record<string, unknown>> | undefined): number {
  let bytes = 0;
  for (const [key, value] of Object.entries(map ?? {}))
    bytes += Buffer.byteLength(key) + Buffer.byteLength(String(value));
  return bytes;
}
