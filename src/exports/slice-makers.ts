import type { V1EndpointSlice } from '@kubernetes/client-node';

/** Label of an EndpointSlice: who keeps it (KEP-752). */
export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';

/** Maker of the slices of Services with a selector, from pods. */
export const SELECTOR_SLICES = 'endpointslice-controller.k8s.io';

/**
 * Controllers whose slices are always served: kube's (k8s.io/endpointslice, `controllerName`), which makes
 * them from the pods that a Service selects, and Linkerd's, which makes them from ExternalWorkloads (linkerd2
 * `external-workload/endpoints_controller.go`, `managedBy`). Everybody who may write slices can set the
 * label; the chart's admission policy reserves these values for the controllers.
 *
 * Not kube's `endpointslicemirroring-controller.k8s.io`: it copies Endpoints that somebody has written by
 * hand (those of kube's own controller it leaves alone), addresses and all.
 */
export const KNOWN_SLICE_MAKERS: readonly string[] = [
  SELECTOR_SLICES,
  'linkerd-external-workloads-controller',
];

/** In which namespaces slices that anybody else made are served too; the gateway's `--hand-made-slices`. */
export type HandMadeSlicesAllowed = (namespace: string) => boolean;

/**
 * In no namespace, because otherwise everybody who may write slices could send other clusters' requests to
 * any address, without the consent of its owner.
 */
export const NO_HAND_MADE_SLICES: HandMadeSlicesAllowed = () => false;

/** Reads `none`, `all`, or names of namespaces. */
export function handMadeSlicesIn(namespaces: readonly string[]): HandMadeSlicesAllowed {
  if (namespaces.includes('all')) return () => true;
  const allowed = new Set(namespaces);
  return (namespace) => allowed.has(namespace);
}

/**
 * Whether a slice was not made by one of `KNOWN_SLICE_MAKERS`: by hand, from hand-made Endpoints, or by
 * another program.
 */
export function isHandMade({ metadata }: V1EndpointSlice): boolean {
  return !KNOWN_SLICE_MAKERS.includes(metadata?.labels?.[MANAGED_BY_LABEL] ?? '');
}
