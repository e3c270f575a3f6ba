import { isOfChart } from '../api/installed-labels.ts';
import { isForbidden, isNotFound, type KubeClient } from '../kube/client/kube-client.ts';
import { OURS } from '../api/names.ts';
import { titleOf } from '../manifests/manifests.ts';
import type { KubeObject, Resource } from '../api/kubernetes/resource.ts';
import { resourcesOf } from '../kube/client/served-kinds.ts';

/**
 * Every kind that the chart and the CLI make, by group and version. A test compares it with what the chart
 * renders.
 */
export const INSTALLED_KINDS: Readonly<Record<string, readonly string[]>> = {
  v1: ['Namespace', 'ServiceAccount', 'Secret', 'ConfigMap', 'Service'],
  'apps/v1': ['Deployment'],
  'rbac.authorization.k8s.io/v1': ['ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding'],
  'policy/v1': ['PodDisruptionBudget'],
  'autoscaling/v2': ['HorizontalPodAutoscaler'],
  'networking.k8s.io/v1': ['NetworkPolicy'],
  'admissionregistration.k8s.io/v1': ['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding'],
  'batch/v1': ['Job'],
  'cert-manager.io/v1': ['Certificate'],
  'monitoring.coreos.com/v1': ['PodMonitor', 'PrometheusRule', 'ServiceMonitor'],
};

const RIGHTS: ReadonlySet<string> = new Set(['Role', 'RoleBinding']);

/** The existing objects of an installation. */
export interface InstalledObjects {
  readonly objects: readonly KubeObject[];
  /** Kinds that the user may not list, so that their objects are not known. */
  readonly unseen: readonly string[];
}

/**
 * Everything in the cluster that carries Linkspan's label, of the kinds that are installed. Objects with an
 * owner (a pod of a Deployment) are deleted with that, and are left out.
 */
export async function findInstalled(client: KubeClient): Promise<InstalledObjects> {
  const unseen: string[] = [];
  const lists = await Promise.all(
    Object.entries(INSTALLED_KINDS).map(async ([apiVersion, kinds]) => {
      const served = await resourcesOf(client, apiVersion);
      const resources = kinds.flatMap((kind) => served.get(kind) ?? []);
      return Promise.all(resources.map((resource) => listOurs(client, resource, apiVersion, unseen)));
    }),
  );
  const objects = lists.flat(2).filter(({ metadata }) => (metadata?.ownerReferences ?? []).length === 0);
  return { objects, unseen };
}

async function listOurs(
  client: KubeClient,
  resource: Resource<KubeObject>,
  apiVersion: string,
  unseen: string[],
): Promise<KubeObject[]> {
  try {
    const { items } = await client.list(resource, { labelSelector: OURS });
    return items.map((item) => ({ ...item, apiVersion, kind: resource.kind }));
  } catch (error) {
    if (isForbidden(error)) unseen.push(resource.plural);
    else if (!isNotFound(error)) throw error;
    return [];
  }
}

/**
 * The objects that an earlier version or other values installed and that the new manifests lack, to be
 * deleted (as `kubectl apply --prune` does). Only the chart's objects, by their release label: accounts of
 * `allow` stay, and so does an issuer, whose key could not be made again. Pure.
 * @param home namespace of the installation
 */
export function prunable(
  installed: readonly KubeObject[],
  wanted: readonly KubeObject[],
  home: string,
): KubeObject[] {
  const names = new Set(wanted.map(titleOf));
  return installed.filter((object) => {
    if (!isOfChart(object)) return false;
    const { namespace } = object.metadata ?? {};
    // Roles exist in other namespaces too (scope.namespaces), and must be removed with the value that asked
    // for them.
    if (namespace !== undefined && namespace !== home && !RIGHTS.has(object.kind ?? '')) return false;
    if ((object as { type?: string }).type === 'kubernetes.io/tls') return false;
    return !names.has(titleOf(object));
  });
}
