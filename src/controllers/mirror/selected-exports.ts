import type { V1Service } from '@kubernetes/client-node';
import { isExportedByAnnotation } from '../../api/exports/export-marks.ts';
import type { Link } from '../../api/link/link-schema.ts';
import { isMirrored } from '../../api/mirror/mirror-labels.ts';

/**
 * Whether a Link mirrors a Service: by label, or by Linkerd's older annotations, as far as these are watched
 * for.
 */
export function isExported(service: V1Service, link: Link): boolean {
  return isLabelled(service, link) || isAnnotated(service, link);
}

/**
 * Whether one of a Link's two selectors of mirrors matches a Service. A Service that mirroring made is no
 * export, whatever labels were copied onto it: two clusters that link each other would otherwise mirror each
 * other's mirrors for ever, where their label is copied.
 */
export function isLabelled(service: V1Service, link: Link): boolean {
  if (isMirrored(service)) return false;
  const labels = service.metadata?.labels;
  return link.selector.matches(labels) || link.remoteDiscoverySelector.matches(labels);
}

/** Whether a Service is exported by Linkerd's older annotations and not by a label. */
export function isAnnotated(service: V1Service, link: Link): boolean {
  if (link.selector.empty || isMirrored(service) || isLabelled(service, link)) return false;
  return isExportedByAnnotation(service);
}
