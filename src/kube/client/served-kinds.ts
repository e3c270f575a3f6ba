import { isNotFound, type KubeClient } from './kube-client.ts';
import type { KubeObject, Resource } from '../../api/kubernetes/resource.ts';

/** Versions that are read where an API server serves several, the first that it has. */
const KNOWN_VERSIONS = ['v1', 'v1beta3', 'v1beta2', 'v1beta1', 'v1alpha2', 'v1alpha1'];

/**
 * Which kinds (plural) of an API group an API server serves, and in which version to read them. Empty where
 * the group is not installed.
 */
export async function servedKinds(
  client: KubeClient,
  group: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const ask = async <T extends object>(path: string): Promise<Partial<T>> => {
    try {
      return (await client.raw('GET', path, { signal })) as T;
    } catch (error) {
      if (isNotFound(error)) return {};
      throw error;
    }
  };
  const found = new Map<string, string>();
  const { versions = [] } = await ask<{ versions?: { version: string }[] }>(`/apis/${group}`);
  const names = versions.map(({ version }) => version);
  const ordered = [
    ...KNOWN_VERSIONS.filter((version) => names.includes(version)),
    // One that is newer than this program; what it does not know of it, it does not look at.
    ...names.filter((version) => !KNOWN_VERSIONS.includes(version)),
  ];
  for (const version of ordered) {
    const { resources = [] } = await ask<{ resources?: { name: string }[] }>(`/apis/${group}/${version}`);
    for (const { name } of resources) if (!found.has(name)) found.set(name, version);
  }
  return found;
}

/**
 * The kinds of one group and version (`apps/v1`, `v1`), by kind. Empty where the API server does not have it.
 */
export async function resourcesOf(
  client: KubeClient,
  apiVersion: string,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, Resource<KubeObject>>> {
  const [group = '', version = ''] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  try {
    const { resources = [] } = (await client.raw('GET', path, signal === undefined ? {} : { signal })) as {
      resources?: { name: string; kind: string; namespaced: boolean }[];
    };
    return new Map(
      resources
        .filter(({ name }) => !name.includes('/'))
        .map(({ name, kind, namespaced }) => [kind, { group, version, kind, plural: name, namespaced }]),
    );
  } catch (error) {
    if (isNotFound(error)) return new Map();
    throw error;
  }
}
