import type { V1LabelSelector } from '@kubernetes/client-node';
import type { KubeObject } from '../kubernetes/resource.ts';

/** Linkerd's API group for who may speak to whom. */
export const POLICY_GROUP = 'policy.linkerd.io';
/** Linkerd's API group of ServiceProfiles. */
export const PROFILE_GROUP = 'linkerd.io';
/** Linkerd's API group for machines outside of the cluster. */
export const WORKLOAD_GROUP = 'workload.linkerd.io';

/** A port of some pods, or of some ExternalWorkloads, of its namespace. */
export interface Server extends KubeObject {
  readonly spec?: {
    readonly podSelector?: V1LabelSelector;
    readonly externalWorkloadSelector?: V1LabelSelector;
    /** Number or name. */
    readonly port?: number | string;
    /** Who may use it beside those that a policy names; default `deny`. */
    readonly accessPolicy?: string;
  };
}

/** Names another object; an absent group is the core group, an absent namespace the own one. */
export interface ObjectReference {
  readonly group?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

/** Lets clients that meet all of its authentications use a Server, or all Servers of its namespace. */
export interface AuthorizationPolicy extends KubeObject {
  readonly spec?: {
    readonly targetRef?: ObjectReference;
    readonly requiredAuthenticationRefs?: readonly ObjectReference[];
  };
}

/**
 * The TLS identities that a client may have to pass: names, or ServiceAccounts and namespaces by reference.
 */
export interface MeshTlsAuthentication extends KubeObject {
  readonly spec?: {
    readonly identities?: readonly string[];
    readonly identityRefs?: readonly ObjectReference[];
  };
}

/** A network without some parts of it. */
export interface Network {
  /** Network or single address. */
  readonly cidr?: string;
  readonly except?: readonly string[];
}

/** The networks that a client's address must be in to pass. */
export interface NetworkAuthentication extends KubeObject {
  readonly spec?: { readonly networks?: readonly Network[] };
}

/** The older form of an AuthorizationPolicy, with everything in it. */
export interface ServerAuthorization extends KubeObject {
  readonly spec?: {
    readonly server?: { readonly name?: string; readonly selector?: V1LabelSelector };
    readonly client?: {
      readonly networks?: readonly Network[];
      readonly unauthenticated?: boolean;
      readonly meshTLS?: {
        readonly unauthenticatedTLS?: boolean;
        readonly identities?: readonly string[];
        readonly serviceAccounts?: readonly { readonly name?: string; readonly namespace?: string }[];
      };
    };
  };
}

/** How many requests a Server takes: Linkerd's kind HTTPLocalRateLimitPolicy. */
export interface HttpLocalRateLimitPolicy extends KubeObject {
  readonly spec?: {
    readonly targetRef?: ObjectReference;
    readonly total?: { readonly requestsPerSecond?: number };
    readonly identity?: { readonly requestsPerSecond?: number };
    /** Rates that the clients named in each entry share. */
    readonly overrides?: readonly {
      readonly requestsPerSecond?: number;
      readonly clientRefs?: readonly ObjectReference[];
    }[];
  };
}

/**
 * Whether a reference is to a kind. As in Linkerd's policy controller groups and kinds are compared without
 * case, and `core` means the same as an absent group: the group of Namespaces and ServiceAccounts.
 */
export function isReferenceTo(ref: ObjectReference, group: string, kind: string): boolean {
  const { group: refGroup = '', kind: refKind = '' } = ref;
  return comparableGroup(refGroup) === comparableGroup(group) && refKind.toLowerCase() === kind.toLowerCase();
}

function comparableGroup(group: string): string {
  const lower = group.toLowerCase();
  return lower === 'core' ? '' : lower;
}

/** A machine outside of the cluster that is part of the mesh. */
export interface ExternalWorkload extends KubeObject {
  readonly spec?: {
    readonly ports?: readonly {
      readonly name?: string;
      readonly port?: number;
      readonly protocol?: string;
    }[];
    readonly workloadIPs?: readonly { readonly ip?: string }[];
  };
}
