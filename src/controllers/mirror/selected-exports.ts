import type { V1Service } from '@kubernetes/client-node';
import { readAnnotation } from '../../api/annotations.ts';
import type { Link } from '../../api/link/link-schema.ts';
import { EXPORT_GATEWAY_NAMESPACE, EXPORTED_LABEL, MIRRORED_SERVICE_LABEL } from '../../api/names.ts';

/**
 * Whether a Link mirrors a Service: by label, or by the older annotations where the view lets those through.
 */
export function isExported(service: V1Service, link: Link): boolean {
  return isLabelled(service, link) || isAnnotated(service, link);
}

/**
 * Whether one of a Link's two mirror selectors matches a Service. What mirroring itself made is no export,
 * whatever labels it got by copying: two clusters that link each other by a label of their own would mirror
 * each other's mirrors for ever.
 */
export function isLabelled({ metadata }: V1Service, link: Link): boolean {
  if (metadata?.labels?.[MIRRORED_SERVICE_LABEL] === 'true') return false;
  return link.selector.matches(metadata?.labels) || link.remoteDiscoverySelector.matches(metadata?.labels);
}

/** Whether a Service is exported only by the older annotations. */
export function isAnnotated(service: V1Service, link: Link): boolean {
  const { annotations, labels } = service.metadata ?? {};
  if (link.selector.empty || labels?.[MIRRORED_SERVICE_LABEL] === 'true' || isLabelled(service, link))
    return false;
  return (
    readAnnotation(annotations, EXPORTED_LABEL) === 'true' ||
    (readAnnotation(annotations, EXPORT_GATEWAY_NAMESPACE) ?? '') !== ''
  );
}
