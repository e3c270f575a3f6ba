import { customResourceDefinitions, type KubeObject, pods } from '../../src/api/kubernetes/resource.ts';
import type { Cluster } from '../testbed/cluster.ts';
import { clientOf, find, isEstablished } from './cluster-objects.ts';
import { eventually } from './eventually.ts';

/** A kind that Linkerd's chart of CRDs installs, with the fields that matter here. */
export function linkerdKind(
  group: string,
  kind: string,
  plural: string,
  version: string,
): KubeObject & { readonly spec: object } {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${plural}.${group}`,
      // Groups of Kubernetes are protected (enhancements#1111); elsewhere it means nothing.
      annotations: { 'api-approved.kubernetes.io': 'https://github.com/kubernetes-sigs/gateway-api' },
    },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              required: ['spec'],
              properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
            },
          },
        },
      ],
    },
  };
}

/**
 * A kind of routing, with the versions and the status that the project's own CRD has; of their fields nothing
 * is demanded. The last version is stored.
 */
export function routingKind(
  group: string,
  kind: string,
  plural: string,
  served: readonly string[],
): KubeObject & { readonly spec: object } {
  const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const schema = { openAPIV3Schema: { type: 'object', properties: { spec: open, status: open } } };
  const plain = linkerdKind(group, kind, plural, '');
  const annotations = { 'api-approved.kubernetes.io': 'https://github.com/kubernetes-sigs/gateway-api' };
  return {
    ...plain,
    // The API server asks that of kinds in groups of Kubernetes itself.
    metadata: { ...plain.metadata, ...(group.endsWith('.k8s.io') ? { annotations } : {}) },
    spec: {
      ...plain.spec,
      versions: served.map((name, index) => ({
        name,
        served: true,
        storage: index === served.length - 1,
        subresources: { status: {} },
        schema,
      })),
    },
  };
}

/**
 * Installs kinds, once those of the same names that are being deleted are gone, and waits until they are
 * served.
 */
export async function installKinds(cluster: Cluster, kinds: readonly KubeObject[]): Promise<void> {
  await cluster.apply(kinds);
  for (const { metadata } of kinds)
    await eventually(`${metadata?.name ?? ''} is served`, async () =>
      isEstablished(await find(cluster, customResourceDefinitions, { name: metadata?.name ?? '' })),
    );
}

/** Makes a pod as if a kubelet ran it, with the label `app` and port 8080 named `http`. */
export async function runPod(
  cluster: Cluster,
  pod: {
    readonly namespace: string;
    readonly name: string;
    /** Default: its name. */
    readonly app?: string;
    /** Empty: its kubelet has not said it yet. */
    readonly ip: string;
    readonly account?: string;
  },
): Promise<void> {
  const { namespace, name, app = name, ip, account = 'default' } = pod;
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app } },
    spec: {
      serviceAccountName: account,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'main',
          image: 'none',
          ports: [{ name: 'http', containerPort: 8080 }],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    },
  });
  if (ip !== '') await patchPodStatus(cluster, namespace, name, { podIP: ip, podIPs: [{ ip }] });
}

/** Says of a pod what its kubelet would; it runs if nothing else is said. */
export async function patchPodStatus(
  cluster: Cluster,
  namespace: string,
  name: string,
  said: object,
): Promise<void> {
  const status = { phase: 'Running', ...said };
  const how = { type: 'merge', subresource: 'status' } as const;
  await clientOf(cluster).patch(pods, { namespace, name }, { status }, how);
}
