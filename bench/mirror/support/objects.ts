import type { V1EndpointSlice, V1Secret, V1Service } from '@kubernetes/client-node';
import {
  CLUSTER_NAME_LABEL,
  COPIED_KEYS,
  CREDENTIALS_SECRET_TYPE,
  DATA_PATH,
  EXPORTED_LABEL,
  LINK_ANNOTATION,
  MANAGER,
  MIRRORED_SERVICE_LABEL,
  REMOTE_GATEWAY_IDENTITY,
  REMOTE_RESOURCE_VERSION,
  REMOTE_SERVICE_FQ_NAME,
  REMOTE_UID,
} from '../../../src/api/names.ts';
import type { LinkObject } from '../../../src/api/link/link-schema.ts';

export const GATEWAY_IDENTITY =
  'linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local';
export const GATEWAY_PORT = 4143;
const NAMESPACES = 10;
const SERVICE_NAME = 'kubernetes.io/service-name';
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';

/** A Service and its one slice. */
export interface Pair {
  readonly service: V1Service;
  readonly slice: V1EndpointSlice;
}

/** Namespaces of exports and mirrors. */
export const namespaceNames = Array.from({ length: NAMESPACES }, (_, n) => `bench-${n}`);
/** Namespaces of what the raw rounds make. */
export const rawNamespaceNames = Array.from({ length: NAMESPACES }, (_, n) => `raw-${n}`);

export const EXPORTED = { [EXPORTED_LABEL]: 'true' };

export interface ExportOptions {
  /** What the names begin with. */
  readonly prefix: string;
  readonly count: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** Addresses of each Service; default 1. */
  readonly addresses?: number;
}

/**
 * Services of a target cluster as users have them, with a selector, and the slices that kube's endpointslice
 * controller would make of them: the Service's labels copied, under that controller's name.
 */
export function exportPairs({ prefix, count, labels = {}, addresses = 1 }: ExportOptions): Pair[] {
  return Array.from({ length: count }, (_, n) => {
    const name = `${prefix}-${n}`;
    const namespace = namespaceNames[n % NAMESPACES] ?? '';
    const own = { app: name, team: 'blue', ...labels };
    return {
      service: {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace, labels: own },
        spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
      },
      slice: {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: `${name}-1`,
          namespace,
          labels: { ...own, [SERVICE_NAME]: name, [MANAGED_BY]: 'endpointslice-controller.k8s.io' },
        },
        addressType: 'IPv4',
        endpoints: Array.from({ length: addresses }, (_, k) => ({
          addresses: [`10.${1 + k}.${(n >> 8) & 255}.${n & 255}`],
          conditions: { ready: true, serving: true, terminating: false },
          targetRef: { kind: 'Pod', namespace, name: `${name}-${k}` },
        })),
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      },
    };
  });
}

/**
 * What the controller would write for as many exports, byte for byte but for names and origin: `cluster-name`
 * is `raw`, and the Link is one that no controller of the run keeps.
 */
export function mirrorPairs(count: number, gateway: string): Pair[] {
  return Array.from({ length: count }, (_, n) => {
    const remote = `svc-${n}`;
    const name = `${remote}-raw`;
    const namespace = rawNamespaceNames[n % NAMESPACES] ?? '';
    const fqName = `${remote}.${namespace}.svc.cluster.local`;
    const owned = { [MIRRORED_SERVICE_LABEL]: 'true', [CLUSTER_NAME_LABEL]: 'raw' };
    return {
      service: {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: {
          name,
          namespace,
          labels: { app: remote, team: 'blue', ...owned },
          annotations: {
            [COPIED_KEYS]: 'app,team',
            [REMOTE_SERVICE_FQ_NAME]: fqName,
            [REMOTE_RESOURCE_VERSION]: '1234',
            [REMOTE_UID]: '5f1ab9a4-9d2b-4f7c-8f4e-2f0f6f1c9d11',
            [LINK_ANNOTATION]: 'raw/raw',
            [DATA_PATH]: 'gateway',
          },
        },
        spec: { type: 'ClusterIP', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
      },
      slice: {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: `${name}-linkspan-ipv4`,
          namespace,
          labels: { ...owned, [SERVICE_NAME]: name, [MANAGED_BY]: MANAGER },
          annotations: {
            [REMOTE_SERVICE_FQ_NAME]: fqName,
            [REMOTE_GATEWAY_IDENTITY]: GATEWAY_IDENTITY,
          },
        },
        addressType: 'IPv4',
        endpoints: [{ addresses: [gateway], conditions: { ready: true } }],
        ports: [{ name: 'http', port: GATEWAY_PORT, protocol: 'TCP' }],
      },
    };
  });
}

export interface LinkOptions {
  readonly namespace: string;
  /** Of the Link and of the target cluster. */
  readonly name: string;
  readonly kubeconfig: string;
  readonly selector: Readonly<Record<string, string>>;
  readonly gateway: { readonly address: string; readonly probePort: number };
}

/** The Secret and the Link that `linkspan link-gen` prints. */
export function linkPair({ namespace, name, kubeconfig, selector, gateway }: LinkOptions): {
  secret: V1Secret;
  link: LinkObject;
} {
  const credentials = `cluster-credentials-${name}`;
  return {
    secret: {
      apiVersion: 'v1',
      kind: 'Secret',
      type: CREDENTIALS_SECRET_TYPE,
      metadata: { name: credentials, namespace },
      data: { kubeconfig: Buffer.from(kubeconfig).toString('base64') },
    },
    link: {
      apiVersion: 'multicluster.linkerd.io/v1alpha3',
      kind: 'Link',
      metadata: { name, namespace },
      spec: {
        targetClusterName: name,
        targetClusterDomain: 'cluster.local',
        clusterCredentialsSecret: credentials,
        gatewayAddress: gateway.address,
        gatewayPort: String(GATEWAY_PORT),
        gatewayIdentity: GATEWAY_IDENTITY,
        probeSpec: {
          path: '/ready',
          port: String(gateway.probePort),
          period: '3s',
          timeout: '30s',
          failureThreshold: '3',
        },
        selector: { matchLabels: selector },
      },
    },
  };
}

/** A kubeconfig for a server that asks nobody who they are. */
export function openKubeconfig(server: string, ca: string): string {
  const cluster = { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'stub',
    clusters: [{ name: 'stub', cluster }],
    users: [{ name: 'stub', user: { token: 'none' } }],
    contexts: [{ name: 'stub', context: { cluster: 'stub', user: 'stub' } }],
  });
}
