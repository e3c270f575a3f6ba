import type { V1Condition } from '@kubernetes/client-node';
import type { KubeObject } from '../kubernetes/resource.ts';

/** SMI's API group. */
export const SPLIT_GROUP = 'split.smi-spec.io';
/** Gateway API's group. */
export const GATEWAY_API_GROUP = 'gateway.networking.k8s.io';

/** The name under which a gateway of ours writes the status of routes (`status.parents[].controllerName`). */
export const ROUTE_CONTROLLER = 'linkspan.dev/gateway';
/** The same for what the egress follows for clients here: the controller writes it, once for all of them. */
export const APEX_ROUTE_CONTROLLER = 'linkspan.dev/egress';

/** A TrafficSplit; its `spec` is read by `readTrafficSplit`. */
export type TrafficSplit = KubeObject & { readonly spec?: unknown };

/** A ReferenceGrant; its `spec` is read by `readReferenceGrant`. */
export type ReferenceGrant = KubeObject & { readonly spec?: unknown };

/**
 * An HTTPRoute or GRPCRoute of either group; `readHttpRoute` and `readGrpcRoute` read its `spec`. Its status
 * is what other controllers, and we, have written.
 */
export type Route = KubeObject & { readonly spec?: unknown; readonly status?: RouteStatus };

/** `status` of a route: an entry for each parent and controller. */
export interface RouteStatus {
  readonly parents?: readonly RouteParentStatus[];
}

/** What one controller says of one parent of a route. */
export interface RouteParentStatus {
  readonly parentRef: WrittenParentRef;
  readonly controllerName: string;
  readonly conditions?: readonly V1Condition[];
}

/** `parentRef` as it stands in an object, with the fields that its author has set. */
export interface WrittenParentRef {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly sectionName?: string;
  readonly port?: number;
}
