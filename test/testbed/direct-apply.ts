/**
 * Writes objects as `kubectl apply` does, without starting it: a program that takes longer to start than an
 * API server takes to answer, and that tests would start by the hundred.
 */
import { request, Agent } from 'node:https';
import { json } from 'node:stream/consumers';
import { isDeepStrictEqual } from 'node:util';

/** Where the objects of a kind stand, by `apiVersion/kind`. What is not here is left to kubectl. */
const COLLECTIONS: Readonly<Record<string, { readonly plural: string; readonly cluster?: true }>> = {
  'v1/ConfigMap': { plural: 'configmaps' },
  'v1/Endpoints': { plural: 'endpoints' },
  'v1/LimitRange': { plural: 'limitranges' },
  'v1/Namespace': { plural: 'namespaces', cluster: true },
  'v1/Node': { plural: 'nodes', cluster: true },
  'v1/Pod': { plural: 'pods' },
  'v1/Secret': { plural: 'secrets' },
  'v1/Service': { plural: 'services' },
  'v1/ServiceAccount': { plural: 'serviceaccounts' },
  'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy': {
    plural: 'validatingadmissionpolicies',
    cluster: true,
  },
  'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding': {
    plural: 'validatingadmissionpolicybindings',
    cluster: true,
  },
  'apiextensions.k8s.io/v1/CustomResourceDefinition': { plural: 'customresourcedefinitions', cluster: true },
  'apps/v1/Deployment': { plural: 'deployments' },
  'discovery.k8s.io/v1/EndpointSlice': { plural: 'endpointslices' },
  'gateway.networking.k8s.io/v1/GRPCRoute': { plural: 'grpcroutes' },
  'gateway.networking.k8s.io/v1/HTTPRoute': { plural: 'httproutes' },
  'gateway.networking.k8s.io/v1beta1/ReferenceGrant': { plural: 'referencegrants' },
  'linkerd.io/v1alpha2/ServiceProfile': { plural: 'serviceprofiles' },
  'multicluster.linkerd.io/v1alpha3/Link': { plural: 'links' },
  'networking.k8s.io/v1/NetworkPolicy': { plural: 'networkpolicies' },
  'policy.linkerd.io/v1alpha1/AuthorizationPolicy': { plural: 'authorizationpolicies' },
  'policy.linkerd.io/v1alpha1/HTTPLocalRateLimitPolicy': { plural: 'httplocalratelimitpolicies' },
  'policy.linkerd.io/v1alpha1/MeshTLSAuthentication': { plural: 'meshtlsauthentications' },
  'policy.linkerd.io/v1alpha1/NetworkAuthentication': { plural: 'networkauthentications' },
  'policy.linkerd.io/v1beta1/ServerAuthorization': { plural: 'serverauthorizations' },
  'policy.linkerd.io/v1beta3/HTTPRoute': { plural: 'httproutes' },
  'policy.linkerd.io/v1beta3/Server': { plural: 'servers' },
  'policy/v1/PodDisruptionBudget': { plural: 'poddisruptionbudgets' },
  'rbac.authorization.k8s.io/v1/ClusterRole': { plural: 'clusterroles', cluster: true },
  'rbac.authorization.k8s.io/v1/ClusterRoleBinding': { plural: 'clusterrolebindings', cluster: true },
  'rbac.authorization.k8s.io/v1/Role': { plural: 'roles' },
  'rbac.authorization.k8s.io/v1/RoleBinding': { plural: 'rolebindings' },
  'split.smi-spec.io/v1alpha1/TrafficSplit': { plural: 'trafficsplits' },
  'split.smi-spec.io/v1alpha2/TrafficSplit': { plural: 'trafficsplits' },
};

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** As kubectl has it: unknown fields are refused. */
const AS_KUBECTL = '?fieldManager=kubectl-client-side-apply&fieldValidation=Strict';
const TIMEOUT_MS = 30_000;
/** How long an object that is being deleted may take to be gone, and how often is looked. */
const GONE_MS = 60_000;
const GONE_POLL_MS = 50;

interface Applied {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
}

type Fields = Readonly<Record<string, unknown>>;

/** An API server and who talks to it. */
export interface Administrator {
  readonly server: string;
  /** Certificates and the key as PEM. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The path of the collection that an object belongs to; undefined when kubectl has to know. */
export function collectionPath({ apiVersion = '', kind = '', metadata }: Applied): string | undefined {
  const collection = COLLECTIONS[`${apiVersion}/${kind}`];
  if (collection === undefined || metadata?.name === undefined) return undefined;
  const api = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const place = collection.cluster === true ? '' : `/namespaces/${metadata.namespace ?? 'default'}`;
  return `${api}${place}/${collection.plural}`;
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
 * The merge patch that makes `live` what is `wanted`: what was applied `before` and is wanted no more goes,
 * what somebody else has written stays. Lists are taken whole, where kubectl merges those of its own kinds by
 * a key: for who writes them alone it comes to the same.
 */
export function applyPatch(before: Fields, wanted: Fields, live: Fields): Fields {
  const patch: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(wanted)) {
    const now = live[key];
    if (isFields(value) && isFields(now)) {
      const formerly = before[key];
      const inner = applyPatch(isFields(formerly) ? formerly : {}, value, now);
      if (Object.keys(inner).length > 0) patch[key] = inner;
    } else if (!isDeepStrictEqual(value, now)) patch[key] = value;
  }
  for (const key of Object.keys(before)) if (!(key in wanted) && key in live) patch[key] = null;
  return patch;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Applies objects in their order, up to the first that is refused or whose kind is not known here: that one
 * and those behind it are kubectl's. Where one of the same name is being deleted, it waits until that is
 * gone: what is applied onto it, as kubectl would, goes with it.
 * @returns how many are there as they should be
 * @throws Error where an object that is being deleted does not go
 */
export async function applyUpTo(objects: readonly object[], as: Administrator): Promise<number> {
  const agent = new Agent({ keepAlive: true, ca: as.ca, cert: as.cert, key: as.key });
  try {
    for (const [at, object] of objects.entries()) {
      const path = collectionPath(object);
      if (path === undefined || !(await isApplied(object, `${as.server}${path}`, agent))) return at;
    }
    return objects.length;
  } finally {
    agent.destroy();
  }
}

/** The API groups that are served, as one text. */
export async function servedGroups(as: Administrator): Promise<string> {
  const agent = new Agent({ ca: as.ca, cert: as.cert, key: as.key });
  try {
    const { body } = await call('GET', `${as.server}/apis`, agent);
    const { groups = [] } = (body ?? {}) as { readonly groups?: readonly { readonly name: string }[] };
    return groups
      .map(({ name }) => name)
      .sort()
      .join();
  } finally {
    agent.destroy();
  }
}

async function isApplied(object: Applied, collection: string, agent: Agent): Promise<boolean> {
  const wanted = withLastApplied(object);
  const url = `${collection}/${object.metadata?.name ?? ''}`;
  let live: Answer;
  for (let waitedMs = 0; ; waitedMs += GONE_POLL_MS) {
    const created = await call('POST', `${collection}${AS_KUBECTL}`, agent, wanted);
    if (created.status !== 409) return created.status === 201;
    live = await call('GET', url, agent);
    const isGoing = (live.body as Applied | undefined)?.metadata?.deletionTimestamp !== undefined;
    if (live.status !== 404 && !isGoing) break;
    if (waitedMs >= GONE_MS) throw new Error(`${url} is being deleted, and does not go`);
    await new Promise((resolve) => setTimeout(resolve, GONE_POLL_MS));
  }
  if (live.status !== 200 || !isFields(live.body)) return false;
  const copy = (live.body as Applied).metadata?.annotations?.[LAST_APPLIED];
  const before = copy === undefined ? {} : (JSON.parse(copy) as Fields);
  const patch = applyPatch(before, wanted as Fields, live.body);
  if (Object.keys(patch).length === 0) return true;
  return (await call('PATCH', `${url}${AS_KUBECTL}`, agent, patch)).status === 200;
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

/**
 * Status and body of the answer; status 0 where there was none. Why something is refused, kubectl will say,
 * which is next.
 */
function call(method: 'GET' | 'POST' | 'PATCH', url: string, agent: Agent, body?: object): Promise<Answer> {
  return new Promise((resolve) => {
    const headers = {
      'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
    };
    const sent = request(url, { method, agent, headers, timeout: TIMEOUT_MS }, (response) => {
      const status = response.statusCode ?? 0;
      if (method !== 'GET') {
        response.resume();
        response.once('close', () => resolve({ status: response.complete ? status : 0 }));
        return;
      }
      json(response).then(
        (read) => resolve({ status, body: read }),
        () => resolve({ status: 0 }),
      );
    });
    sent.once('timeout', () => sent.destroy());
    sent.once('error', () => resolve({ status: 0 }));
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
