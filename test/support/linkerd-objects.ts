import type { Cluster } from '../testbed/cluster.ts';

/** A kind that Linkerd's chart of CRDs installs, with the fields that matter here. */
export function linkerdKind(group: string, kind: string, plural: string, version: string): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
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

/** Installs kinds and waits until they are served. */
export async function installKinds(cluster: Cluster, kinds: readonly object[]): Promise<void> {
  await cluster.apply(kinds);
  await cluster.kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=20s');
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
  const status = JSON.stringify({ status: { phase: 'Running', ...said } });
  const command = ['patch', 'pod', name, '--subresource=status', '--type=merge', '-p', status];
  await cluster.kubectl('-n', namespace, ...command);
}
