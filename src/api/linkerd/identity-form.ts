/**
 * What stands between the workload's part of an identity and the mesh's:
 * `<account>.<namespace>.serviceaccount.identity.<control namespace>.<trust domain>` (linkerd2 pkg/identity).
 * How much of such a name may be believed is decided where it is read (`identity/names`).
 */
export const IDENTITY_MARK = '.serviceaccount.identity.';

/** A service account in a mesh. */
export interface MeshAccount {
  readonly serviceAccount: string;
  readonly namespace: string;
  /** Namespace of the mesh's control plane. */
  readonly controlNamespace: string;
  readonly trustDomain: string;
}

/** Its identity. Nothing is checked: `identityName` makes only what can be one. */
export function accountIdentity(account: MeshAccount): string {
  return `${account.serviceAccount}.${account.namespace}${meshSuffix(account)}`;
}

/** What the identities of a mesh end in, behind account and namespace. */
export function meshSuffix(mesh: Pick<MeshAccount, 'controlNamespace' | 'trustDomain'>): string {
  return `${IDENTITY_MARK}${mesh.controlNamespace}.${mesh.trustDomain}`;
}
