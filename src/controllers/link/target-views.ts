import { ExportView, type ExportViewOptions } from '../../exports/export-view.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import { KubeClient, type KubeClientOptions } from '../../kube/client/kube-client.ts';
import type { Link } from '../../api/link/link-schema.ts';
import { unionOf } from '../../api/kubernetes/label-selector.ts';
import { isAnnotated, isLabelled } from '../mirror/selected-exports.ts';

/** What is watched of a target. */
export interface TargetViews {
  readonly exports: ExportView;
  readonly members: ExportView;
  /** Selectors of one list each that find everything again. */
  readonly selectors: readonly string[];
}

/** The exports of a target and its members of federated Services, as a Link selects them. */
export function openViews(
  link: Link,
  annotationExports: boolean,
  common: Omit<ExportViewOptions, 'selectors' | 'unfiltered'>,
): TargetViews {
  const exportSelectors = unionOf([link.selector, link.remoteDiscoverySelector]);
  const memberSelectors = unionOf([link.federatedServiceSelector]);
  const annotated = annotationExports && !link.selector.empty;
  const unfiltered: ExportViewOptions['unfiltered'] = {
    selected: (service) => isLabelled(service, link),
    exported: (service) => isAnnotated(service, link),
  };
  return {
    exports: new ExportView({
      ...common,
      selectors: exportSelectors,
      ...(annotated ? { unfiltered } : {}),
    }),
    members: new ExportView({ ...common, selectors: memberSelectors }),
    selectors: annotated ? [''] : [...exportSelectors, ...memberSelectors],
  };
}

/**
 * `/version` is a few hundred bytes, and asked for by itself: whether the API answers is told apart from
 * whether its answers fit.
 */
const REACHABILITY_LIMITS = { bytes: 64 * 1024, ms: 10_000 };

/**
 * The client that finds out whether a target's API answers: a connection of its own, a short time-out, one
 * try.
 */
export function reachabilityClient(access: ClusterAccess, common: KubeClientOptions): KubeClient {
  const limits = REACHABILITY_LIMITS;
  return new KubeClient(access, { ...common, timeoutMs: 5000, maxTries: 1, maxConnections: 1, limits });
}
