import { TAP_ACCOUNT } from '../src/api/answers/tap-events.ts';
import { installedLabels } from '../src/api/installed-labels.ts';
import { ADMIN_PORT_NAME } from '../src/api/names.ts';
import { readVersion } from '../src/base/version.ts';

const MULTICLUSTER = 'linkerd-multicluster';
const CONTAINER = 'process';
const RBAC = 'rbac.authorization.k8s.io';

/** A process of this demo, as a pod. */
export interface DemoPod {
  readonly name: string;
  readonly namespace: string;
  /** Of the installation, what it is, and its private admin port; undefined: somebody's. */
  readonly part?: { readonly component: 'controller' | 'egress' | 'gateway'; readonly port: number };
  readonly ip: string;
}

/**
 * The pod that a process would be in, and its account: there is no kubelet here, and the API server leads
 * whoever asks to the address of the pod (`pods/proxy`).
 */
export function podOf({ name, namespace, part }: DemoPod): object[] {
  const account = { name: `demo-${name}`, namespace };
  const ports = part && { ports: [{ name: ADMIN_PORT_NAME, containerPort: part.port }] };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: account },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels: part && labelsOf(part) },
      spec: {
        serviceAccountName: account.name,
        automountServiceAccountToken: false,
        containers: [{ name: CONTAINER, image: 'none', ...ports }],
      },
    },
  ];
}

function labelsOf({ component }: NonNullable<DemoPod['part']>): object {
  return { ...installedLabels(readVersion()), 'app.kubernetes.io/component': component, component };
}

/** What a kubelet would say of it. */
export function podStatus({ ip }: DemoPod): object {
  return {
    status: {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [
        { name: CONTAINER, image: 'none', imageID: '', ready: true, restartCount: 0, state: { running: {} } },
      ],
    },
  };
}

/** The account whose tokens `linkspan tap` asks for, as the chart makes it. */
export function tapAccount(): object[] {
  const metadata = { name: TAP_ACCOUNT };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, namespace: MULTICLUSTER } },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRole',
      metadata,
      rules: [{ apiGroups: ['linkspan.dev'], resources: ['taps'], verbs: ['get'] }],
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: TAP_ACCOUNT },
      subjects: [{ kind: 'ServiceAccount', name: TAP_ACCOUNT, namespace: MULTICLUSTER }],
    },
  ];
}
