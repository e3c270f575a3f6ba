/**
 * Writes objects that are not there yet as `kubectl apply` does, without starting it: a program that takes
 * longer to start than an API server takes to answer, and that tests would start by the hundred.
 */
import { request, Agent } from 'node:https';

/** Where the objects of a kind stand, by `apiVersion/kind`. What is not here is left to kubectl. */
const COLLECTIONS: Readonly<Record<string, { readonly plural: string; readonly cluster?: true }>> = {
  'v1/ConfigMap': { plural: 'configmaps' },
  'v1/Namespace': { plural: 'namespaces', cluster: true },
  'v1/Node': { plural: 'nodes', cluster: true },
  'v1/Pod': { plural: 'pods' },
  'v1/Secret': { plural: 'secrets' },
  'v1/Service': { plural: 'services' },
  'v1/ServiceAccount': { plural: 'serviceaccounts' },
  'apps/v1/Deployment': { plural: 'deployments' },
  'discovery.k8s.io/v1/EndpointSlice': { plural: 'endpointslices' },
  'multicluster.linkerd.io/v1alpha3/Link': { plural: 'links' },
  'rbac.authorization.k8s.io/v1/ClusterRole': { plural: 'clusterroles', cluster: true },
  'rbac.authorization.k8s.io/v1/ClusterRoleBinding': { plural: 'clusterrolebindings', cluster: true },
  'rbac.authorization.k8s.io/v1/Role': { plural: 'roles' },
  'rbac.authorization.k8s.io/v1/RoleBinding': { plural: 'rolebindings' },
};

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const TIMEOUT_MS = 30_000;

interface Applied {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/** An API server and who talks to it. */
export interface Administrator {
  readonly server: string;
  /** Certificates and the key as PEM. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The path at which an object is created; undefined when kubectl has to know. */
export function creationPath({ apiVersion = '', kind = '', metadata }: Applied): string | undefined {
  const collection = COLLECTIONS[`${apiVersion}/${kind}`];
  if (collection === undefined || metadata?.name === undefined) return undefined;
  const api = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const place = collection.cluster === true ? '' : `/namespaces/${metadata.namespace ?? 'default'}`;
  // As kubectl has it: unknown fields are refused.
  return `${api}${place}/${collection.plural}?fieldManager=kubectl-client-side-apply&fieldValidation=Strict`;
}

/** The object with the copy of itself that kubectl keeps, for the next time that it is applied. */
export function withLastApplied(object: Applied): Applied {
  const metadata = { ...object.metadata, annotations: { ...object.metadata?.annotations } };
  const own = JSON.stringify({ ...object, metadata });
  return {
    ...object,
    metadata: { ...metadata, annotations: { ...metadata.annotations, [LAST_APPLIED]: `${own}\n` } },
  };
}

/**
 * Creates objects in their order, up to the first that is there already, that is refused, or whose kind is
 * not known here: that one and those behind it are kubectl's. A Namespace of which nothing but its name is
 * said may be there.
 * @returns how many are there as they should be
 */
export async function createUpTo(objects: readonly object[], as: Administrator): Promise<number> {
  const agent = new Agent({ keepAlive: true, ca: as.ca, cert: as.cert, key: as.key });
  try {
    for (const [at, object] of objects.entries()) {
      const path = creationPath(object);
      if (path === undefined) return at;
      const status = await create(`${as.server}${path}`, withLastApplied(object), agent);
      if (status !== 201 && !(status === 409 && isBareNamespace(object))) return at;
    }
    return objects.length;
  } finally {
    agent.destroy();
  }
}

/** Whether nothing but its name is said of a Namespace: what is there already is what is wanted then. */
function isBareNamespace(object: Applied): boolean {
  const said = Object.keys({ ...object, ...object.metadata, metadata: undefined });
  return object.kind === 'Namespace' && said.sort().join() === 'apiVersion,kind,metadata,name';
}

/**
 * The status of the answer; 0 where there was none. Why it was not created, kubectl will say, which is next.
 */
function create(url: string, object: object, agent: Agent): Promise<number> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json' };
    const call = request(url, { method: 'POST', agent, headers, timeout: TIMEOUT_MS }, (response) => {
      response.resume();
      response.once('close', () => resolve(response.complete ? (response.statusCode ?? 0) : 0));
    });
    call.once('timeout', () => call.destroy());
    call.once('error', () => resolve(0));
    call.end(JSON.stringify(object));
  });
}
