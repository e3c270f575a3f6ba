import type { V1EndpointSlice } from '@kubernetes/client-node';
import type { StoreChange } from '../kube/informer/store.ts';
import { SERVICE_NAME_LABEL } from './endpoint-slices.ts';

/** Index of slices by the `namespace/name` of their Service. */
export const BY_SERVICE = 'service';

/** `namespace/name` of the Service to which a slice belongs, if it has one. */
export function sliceService({ metadata }: V1EndpointSlice): string[] {
  const service = metadata?.labels?.[SERVICE_NAME_LABEL];
  return service === undefined ? [] : [`${metadata?.namespace ?? ''}/${service}`];
}

/**
 * The Services (`namespace/name`) whose slices have changed: two where a slice was moved by an edit of its
 * label.
 */
export function servicesOfChange({
  object,
  previous,
}: Pick<StoreChange<V1EndpointSlice>, 'object' | 'previous'>): Set<string> {
  return new Set([...(previous === undefined ? [] : sliceService(previous)), ...sliceService(object)]);
}
