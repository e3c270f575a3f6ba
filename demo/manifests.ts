import { stringify } from 'yaml';
import {
  GATEWAY_IDENTITY,
  GATEWAY_MARKER,
  GATEWAY_PROBE_PATH,
  GATEWAY_PROBE_PERIOD,
} from '../src/base/names.ts';

const ACCOUNT = 'linkerd-service-mirror-remote-access-default';
const MULTICLUSTER = 'linkerd-multicluster';

/** Several objects as one YAML text. */
export function yaml(...objects: readonly object[]): string {
  return objects.map((object) => stringify(object)).join('---\n');
}

export function namespace(name: string): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

/** The account by which source clusters read this cluster's exports, with its token. */
export function remoteAccess(): object[] {
  const metadata = { name: ACCOUNT, namespace: MULTICLUSTER };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/service-account-token',
      metadata: {
        ...metadata,
        name: `${ACCOUNT}-token`,
        annotations: { 'kubernetes.io/service-account.name': ACCOUNT },
      },
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: ACCOUNT },
      rules: [
        { apiGroups: [''], resources: ['services'], verbs: ['get', 'list', 'watch'] },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: ACCOUNT },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: ACCOUNT },
      subjects: [{ kind: 'ServiceAccount', name: ACCOUNT, namespace: MULTICLUSTER }],
    },
  ];
}

/** The gateway's Service, as the chart makes it. */
export function gatewayService(identity: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'linkerd-gateway',
      namespace: MULTICLUSTER,
      annotations: {
        [GATEWAY_IDENTITY]: identity,
        [GATEWAY_MARKER]: 'true',
        [GATEWAY_PROBE_PATH]: '/ready',
        [GATEWAY_PROBE_PERIOD]: '3',
      },
    },
    spec: {
      type: 'LoadBalancer',
      ports: [
        { name: 'mc-gateway', port: 4143 },
        { name: 'mc-probe', port: 4191 },
      ],
    },
  };
}

/** A Service without pods, and the EndpointSlice that says where its processes are: there is no kubelet here. */
export function serviceOfProcesses(
  name: string,
  ns: string,
  port: number,
  processes: { readonly addresses: readonly string[]; readonly port: number },
): object[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: ns },
      spec: { ports: [{ name: 'http', port, targetPort: processes.port }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `${name}-1`,
        namespace: ns,
        labels: {
          'kubernetes.io/service-name': name,
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
      },
      addressType: 'IPv4',
      endpoints: processes.addresses.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
      ports: [{ name: 'http', port: processes.port, protocol: 'TCP' }],
    },
  ];
}
