import type {
  CoreV1Event,
  V1CertificateSigningRequest,
  V1ClusterRole,
  V1ClusterRoleBinding,
  V1ConfigMap,
  V1CustomResourceDefinition,
  V1Deployment,
  V1Endpoints,
  V1EndpointSlice,
  V1Lease,
  V1Namespace,
  V1Node,
  V1ObjectMeta,
  V1Pod,
  V1Role,
  V1RoleBinding,
  V1Secret,
  V1SelfSubjectAccessReview,
  V1Service,
  V1ServiceAccount,
  V1SubjectAccessReview,
  V1TokenReview,
} from '@kubernetes/client-node';

/** What every Kubernetes object has. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata?: V1ObjectMeta;
}

/** A kind of object that an API server serves; `T` is its type. */
export interface Resource<T extends KubeObject> {
  /** API group; empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Carries `T`; never set. */
  readonly __type?: T;
}

/** Name of an object, with its namespace where it has one. */
export interface ObjectRef {
  readonly namespace?: string;
  readonly name: string;
}

const core = { group: '', version: 'v1', namespaced: true } as const;

export const services: Resource<V1Service> = { ...core, kind: 'Service', plural: 'services' };
export const endpoints: Resource<V1Endpoints> = { ...core, kind: 'Endpoints', plural: 'endpoints' };
export const secrets: Resource<V1Secret> = { ...core, kind: 'Secret', plural: 'secrets' };
export const configMaps: Resource<V1ConfigMap> = { ...core, kind: 'ConfigMap', plural: 'configmaps' };
export const serviceAccounts: Resource<V1ServiceAccount> = {
  ...core,
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
};
export const pods: Resource<V1Pod> = { ...core, kind: 'Pod', plural: 'pods' };
export const events: Resource<CoreV1Event> = { ...core, kind: 'Event', plural: 'events' };
export const namespaces: Resource<V1Namespace> = {
  ...core,
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
};
export const nodes: Resource<V1Node> = { ...core, kind: 'Node', plural: 'nodes', namespaced: false };
/** A range of ClusterIPs (networking.k8s.io/v1, Kubernetes 1.33). */
export interface ServiceCidr extends KubeObject {
  readonly spec?: { readonly cidrs?: readonly string[] };
}
export const serviceCidrs: Resource<ServiceCidr> = {
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'ServiceCIDR',
  plural: 'servicecidrs',
  namespaced: false,
};
export const endpointSlices: Resource<V1EndpointSlice> = {
  group: 'discovery.k8s.io',
  version: 'v1',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
  namespaced: true,
};
export const leases: Resource<V1Lease> = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
};

export const certificateSigningRequests: Resource<V1CertificateSigningRequest> = {
  group: 'certificates.k8s.io',
  version: 'v1',
  kind: 'CertificateSigningRequest',
  plural: 'certificatesigningrequests',
  namespaced: false,
};

const apps = { group: 'apps', version: 'v1', namespaced: true } as const;
export const deployments: Resource<V1Deployment> = { ...apps, kind: 'Deployment', plural: 'deployments' };

const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' } as const;
export const roles: Resource<V1Role> = { ...rbac, kind: 'Role', plural: 'roles', namespaced: true };
export const roleBindings: Resource<V1RoleBinding> = {
  ...rbac,
  kind: 'RoleBinding',
  plural: 'rolebindings',
  namespaced: true,
};
export const clusterRoles: Resource<V1ClusterRole> = {
  ...rbac,
  kind: 'ClusterRole',
  plural: 'clusterroles',
  namespaced: false,
};
export const clusterRoleBindings: Resource<V1ClusterRoleBinding> = {
  ...rbac,
  kind: 'ClusterRoleBinding',
  plural: 'clusterrolebindings',
  namespaced: false,
};

export const customResourceDefinitions: Resource<V1CustomResourceDefinition> = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
};

/** A question to the API server, never stored: may the one who asks do this? */
export const selfSubjectAccessReviews: Resource<V1SelfSubjectAccessReview> = {
  group: 'authorization.k8s.io',
  version: 'v1',
  kind: 'SelfSubjectAccessReview',
  plural: 'selfsubjectaccessreviews',
  namespaced: false,
};

/** A question to the API server, never stored: may this user do this? */
export const subjectAccessReviews: Resource<V1SubjectAccessReview> = {
  ...selfSubjectAccessReviews,
  kind: 'SubjectAccessReview',
  plural: 'subjectaccessreviews',
} as Resource<V1SubjectAccessReview>;

/** A question to the API server, never stored: whose token is this? */
export const tokenReviews: Resource<V1TokenReview> = {
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenReview',
  plural: 'tokenreviews',
  namespaced: false,
};

/** `namespace/name`, or `name` for what has no namespace: the key of stores and queues. */
export function keyOf(object: KubeObject | ObjectRef): string {
  const { namespace, name } = 'name' in object ? object : ((object as KubeObject).metadata ?? {});
  return namespace === undefined || namespace === '' ? (name ?? '') : `${namespace}/${name ?? ''}`;
}

/** What says which object it is, and which version of it: all that a watch has to keep of its metadata. */
export function identityOf({
  metadata,
}: KubeObject): Pick<V1ObjectMeta, 'name' | 'namespace' | 'uid' | 'resourceVersion'> {
  const { name, namespace, uid, resourceVersion } = metadata ?? {};
  return {
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

/** When an object was made, milliseconds since the epoch; Infinity where it does not say. */
export function createdAt({ metadata }: KubeObject): number {
  const created = metadata?.creationTimestamp;
  return created === undefined ? Number.POSITIVE_INFINITY : new Date(created).getTime();
}

/**
 * Orders objects by age, the oldest first, as the API server's clock has it, and by name where that is the
 * same: who came first where two want one thing.
 */
export function byAge(a: KubeObject, b: KubeObject): number {
  const [left, right] = [createdAt(a), createdAt(b)];
  if (left !== right) return left < right ? -1 : 1;
  const [one, other] = [a.metadata?.name ?? '', b.metadata?.name ?? ''];
  return one < other ? -1 : Number(one > other);
}

/** Path of a collection or of one object, without query. */
export function pathOf(resource: Resource<KubeObject>, ref: { namespace?: string; name?: string }): string {
  const root = resource.group === '' ? '/api/v1' : `/apis/${resource.group}/${resource.version}`;
  const scope =
    resource.namespaced && ref.namespace !== undefined
      ? `/namespaces/${encodeURIComponent(ref.namespace)}`
      : '';
  const name = ref.name === undefined ? '' : `/${encodeURIComponent(ref.name)}`;
  return `${root}${scope}/${resource.plural}${name}`;
}

/** The query of a request with what is given of it; empty when nothing is. */
export function queryString(
  query: Readonly<Record<string, string | number | boolean | undefined>> | undefined,
): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== '') parameters.set(key, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}
