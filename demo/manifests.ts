import { stringify } from 'yaml';
import {
  GATEWAY_IDENTITY,
  GATEWAY_MARKER,
  GATEWAY_PROBE_PATH,
  GATEWAY_PROBE_PERIOD,
} from '../src/api/names.ts';

/** The account by which source clusters read a target's exports; Linkerd's name. */
export const REMOTE_ACCESS = 'linkerd-service-mirror-remote-access-default';
const MULTICLUSTER = 'linkerd-multicluster';

/** Several objects as one YAML text. */
export function yaml(...objects: readonly object[]): string {
  return objects.map((object) => stringify(object)).join('---\n');
}

export function namespace(name: string): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

/** The account by which source clusters read this cluster's exports, and its rights. */
export function remoteAccess(): object[] {
  const metadata = { name: REMOTE_ACCESS, namespace: MULTICLUSTER };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: REMOTE_ACCESS },
      rules: [
        { apiGroups: [''], resources: ['services'], verbs: ['get', 'list', 'watch'] },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: REMOTE_ACCESS },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: REMOTE_ACCESS },
      subjects: [{ kind: 'ServiceAccount', name: REMOTE_ACCESS, namespace: MULTICLUSTER }],
    },
  ];
}

/** The Secret that `link-gen` reads the account's token from, filled. */
export function tokenSecret(filled: { readonly token: string; readonly caCrt: string }): object {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/service-account-token',
    metadata: {
      name: `${REMOTE_ACCESS}-token`,
      namespace: MULTICLUSTER,
      annotations: { 'kubernetes.io/service-account.name': REMOTE_ACCESS },
    },
    data: { token: base64(filled.token), 'ca.crt': base64(filled.caCrt) },
  };
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

/**
 * A Service without pods, and the EndpointSlice that says where its processes are: there is no kubelet here.
 */
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
