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
  spec?: {
    podSelector?: V1LabelSelector;
    externalWorkloadSelector?: V1LabelSelector;
    /** Number or name. */
    port?: number | string;
    /** Who may use it beside those that a policy names; default `deny`. */
    accessPolicy?: string;
  };
}

/** Names another object; an absent group is the core group, an absent namespace the own one. */
export interface ObjectReference {
  group?: string;
  kind?: string;
  name?: string;
  namespace?: string;
}

/** Lets clients that meet all of its authentications use a Server, or all Servers of its namespace. */
export interface AuthorizationPolicy extends KubeObject {
  spec?: { targetRef?: ObjectReference; requiredAuthenticationRefs?: ObjectReference[] };
}

/** Identities. */
export interface MeshTlsAuthentication extends KubeObject {
  spec?: { identities?: string[]; identityRefs?: ObjectReference[] };
}

/** A network without some parts of it. */
export interface Network {
  /** Network or single address. */
  cidr?: string;
  except?: string[];
}

/** Addresses. */
export interface NetworkAuthentication extends KubeObject {
  spec?: { networks?: Network[] };
}

/** The older form of an AuthorizationPolicy, with everything in it. */
export interface ServerAuthorization extends KubeObject {
  spec?: {
    server?: { name?: string; selector?: V1LabelSelector };
    client?: {
      networks?: Network[];
      unauthenticated?: boolean;
      meshTLS?: {
        unauthenticatedTLS?: boolean;
        identities?: string[];
        serviceAccounts?: { name?: string; namespace?: string }[];
      };
    };
  };
}

/** How many requests a Server takes. */
export interface RateLimitPolicy extends KubeObject {
  spec?: {
    targetRef?: ObjectReference;
    total?: { requestsPerSecond?: number };
    identity?: { requestsPerSecond?: number };
    /** Of the clients that each names, together. */
    overrides?: { requestsPerSecond?: number; clientRefs?: ObjectReference[] }[];
  };
}

/** Whether a reference is to that kind. Linkerd compares groups and kinds without case. */
export function isReferenceTo(ref: ObjectReference, group: string, kind: string): boolean {
  const { group: refGroup = '', kind: refKind = '' } = ref;
  // The core group is also called so.
  const plain = refGroup.toLowerCase() === 'core' ? '' : refGroup.toLowerCase();
  return plain === group && refKind.toLowerCase() === kind.toLowerCase();
}

/** A machine outside of the cluster that is part of the mesh. */
export interface ExternalWorkload extends KubeObject {
  spec?: {
    ports?: { name?: string; port?: number; protocol?: string }[];
    workloadIPs?: { ip?: string }[];
  };
}
