import type { V1CustomResourceDefinition, V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { systemClock } from '../../src/base/clock.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { isNotFound, KubeClient } from '../../src/kube/client/kube-client.ts';
import {
  endpointSlices,
  events,
  namespaces,
  serviceAccounts,
  services,
  type KubeObject,
  type Resource,
} from '../../src/api/kubernetes/resource.ts';
import { links, type LinkObject } from '../../src/api/link/link-schema.ts';
import type { Condition } from '../../src/api/link/link-status.ts';
import type { ApiCluster } from './memory-cluster.ts';

const clients = new WeakMap<ApiCluster, KubeClient>();

/**
 * A client of the cluster's administrator, one for each cluster; its connections do not keep the process
 * alive for long.
 */
export function clientOf(cluster: ApiCluster): KubeClient {
  const known = clients.get(cluster);
  if (known !== undefined) return known;
  const client = new KubeClient(loadAccess({ file: cluster.kubeconfigFile }), {
    clock: systemClock,
    random: Math.random,
    maxConnections: 32,
  });
  clients.set(cluster, client);
  return client;
}

/** An object, or undefined when there is none. */
export async function find<T extends KubeObject>(
  cluster: ApiCluster,
  resource: Resource<T>,
  ref: { namespace?: string; name: string },
): Promise<T | undefined> {
  try {
    return await clientOf(cluster).get(resource, ref);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

export function findService(
  cluster: ApiCluster,
  namespace: string,
  name: string,
): Promise<V1Service | undefined> {
  return find(cluster, services, { namespace, name });
}

/** The slices of a Service, by name. */
export async function findSlices(
  cluster: ApiCluster,
  namespace: string,
  service: string,
): Promise<V1EndpointSlice[]> {
  const labelSelector = `kubernetes.io/service-name=${service}`;
  const { items } = await clientOf(cluster).list(endpointSlices, { namespace, labelSelector });
  return items.sort((a, b) => ((a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1));
}

/** The ready addresses in a Service's slices, sorted. */
export async function findAddresses(
  cluster: ApiCluster,
  namespace: string,
  service: string,
): Promise<string[]> {
  return (await findSlices(cluster, namespace, service))
    .flatMap((slice) => slice.endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses }) => addresses)
    .sort();
}

export function findLink(
  cluster: ApiCluster,
  namespace: string,
  name: string,
): Promise<LinkObject | undefined> {
  return find(cluster, links, { namespace, name });
}

export async function findCondition(
  cluster: ApiCluster,
  namespace: string,
  link: string,
  type: string,
): Promise<Condition | undefined> {
  const object = await findLink(cluster, namespace, link);
  return object?.status?.conditions?.find((condition) => condition.type === type);
}

/** Reasons of the Events in a namespace. */
export async function eventReasonsIn(cluster: ApiCluster, namespace: string): Promise<string[]> {
  const { items } = await clientOf(cluster).list(events, { namespace });
  return items.map(({ reason }) => reason ?? '');
}

/** Merge-patches an object. */
export async function change<T extends KubeObject>(
  cluster: ApiCluster,
  resource: Resource<T>,
  ref: { namespace?: string; name: string },
  patch: object,
): Promise<T> {
  return clientOf(cluster).patch(resource, ref, patch, { type: 'merge' });
}

/** Deletes an object; it need not be there. */
export async function remove<T extends KubeObject>(
  cluster: ApiCluster,
  resource: Resource<T>,
  ref: { namespace?: string; name: string },
): Promise<void> {
  try {
    await clientOf(cluster).delete(resource, ref);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** Deletes all objects of a kind in a namespace. */
export async function removeAll<T extends KubeObject>(
  cluster: ApiCluster,
  resource: Resource<T>,
  namespace: string,
): Promise<void> {
  for (const { metadata } of (await clientOf(cluster).list(resource, { namespace })).items)
    await remove(cluster, resource, { namespace, name: metadata?.name ?? '' });
}

/** Creates a service account, as kube's controller manager does the default one of a namespace. */
export async function createAccount(cluster: ApiCluster, namespace: string, name: string): Promise<void> {
  await clientOf(cluster).create(serviceAccounts, { metadata: { namespace, name } });
}

/** Creates a namespace of this name; it may be there already. */
export async function ensureNamespace(cluster: ApiCluster, name: string): Promise<void> {
  if ((await find(cluster, namespaces, { name })) === undefined)
    await clientOf(cluster).create(namespaces, { metadata: { name } });
}

/** Whether an API server serves a kind. */
export function isEstablished(crd: V1CustomResourceDefinition | undefined): boolean {
  const conditions = crd?.status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === 'Established' && status === 'True');
}
