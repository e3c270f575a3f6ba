import { apply } from './linked-clusters.ts';
import type { ApiCluster } from './memory-cluster.ts';

/** Selectors of a Link that only this test's Services meet: the clusters are shared. */
export function ownSelectors(test: string): object {
  return {
    selector: { matchLabels: { 'linkspan.test/exported': test } },
    remoteDiscoverySelector: { matchLabels: { 'linkspan.test/exported': `${test}-flat` } },
    federatedServiceSelector: { matchLabels: { 'linkspan.test/federated': test } },
  };
}

export interface ExportOptions {
  /** Of this test; the Service is exported through the gateway, flat, or not at all. */
  readonly test: string;
  readonly as?: 'gateway' | 'flat' | 'nothing';
  readonly federated?: boolean;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly spec?: object;
  /** Endpoints of its one slice; undefined: one ready address. */
  readonly endpoints?: readonly object[];
  readonly ports?: readonly object[];
}

/**
 * A Service and its slice, as kube would make it from a Service with a selector: labels copied, managed by
 * its controller.
 */
export function exportObjects(namespace: string, name: string, options: ExportOptions): object[] {
  const exported = { gateway: options.test, flat: `${options.test}-flat`, nothing: undefined }[
    options.as ?? 'gateway'
  ];
  const labels = {
    ...options.labels,
    ...(exported === undefined ? {} : { 'linkspan.test/exported': exported }),
    ...(options.federated === true ? { 'linkspan.test/federated': options.test } : {}),
  };
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace, labels, annotations: options.annotations ?? {} },
      spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }], ...options.spec },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `${name}-1`,
        namespace,
        labels: {
          ...labels,
          'kubernetes.io/service-name': name,
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
      },
      addressType: 'IPv4',
      endpoints: options.endpoints ?? [{ addresses: ['10.200.0.18'], conditions: { ready: true } }],
      ports: options.ports ?? [{ name: 'http', port: 8080, protocol: 'TCP' }],
    },
  ];
}

export async function exportService(
  cluster: ApiCluster,
  namespace: string,
  name: string,
  options: ExportOptions,
): Promise<void> {
  await apply(cluster, ...exportObjects(namespace, name, options));
}
