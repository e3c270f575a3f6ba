import { accountIdentity, meshSuffix } from '../api/linkerd/identity-form.ts';
import type { V1Pod } from '@kubernetes/client-node';
import { CONTROL_PLANE_LABEL, INBOUND_PORT, OPAQUE_PORTS, SKIPPED_INBOUND_PORTS } from '../api/names.ts';
import { readAnnotation } from '../api/annotations.ts';
import { identityOf } from '../api/kubernetes/resource.ts';
import { isListed } from '../api/ports/port-list.ts';
import { portProtocol } from '../api/ports/port-protocol.ts';
import { defined } from '../exports/stored-shape.ts';
import type { MeshEndpoint } from '../exports/target-endpoint.ts';

const PROXY_CONTAINER = 'linkerd-proxy';
const LISTEN_VARIABLE = 'LINKERD2_PROXY_INBOUND_LISTEN_ADDR';
const TRUST_DOMAIN_VARIABLE = '_l5d_trustdomain';
const NAME_VARIABLE = 'LINKERD2_PROXY_IDENTITY_LOCAL_NAME';
const VARIABLES = new Set([LISTEN_VARIABLE, TRUST_DOMAIN_VARIABLE, NAME_VARIABLE]);
const KEPT = [OPAQUE_PORTS, SKIPPED_INBOUND_PORTS, INBOUND_PORT] as const;
const DEFAULT_INBOUND_PORT = 4143;

/**
 * What is kept of a meshed pod; there may be tens of thousands. Pods that have ended, and those without a
 * proxy or an address, are not kept.
 */
export function storedMeshPod(pod: V1Pod): V1Pod | undefined {
  const { labels, annotations } = pod.metadata ?? {};
  const proxy = proxyOf(pod);
  if (proxy === undefined || !isReachable(pod)) return undefined;
  const metadata = {
    labels: pick([CONTROL_PLANE_LABEL], (key) => labels?.[key]),
    annotations: pick(KEPT, (key) => readAnnotation(annotations, key)),
  };
  const env = (proxy.env ?? [])
    .filter((one) => VARIABLES.has(one.name))
    .map((one) => ({ name: one.name, value: one.value ?? '' }));
  return {
    metadata: { ...identityOf(pod), ...defined(metadata) },
    spec: {
      serviceAccountName: pod.spec?.serviceAccountName ?? 'default',
      containers: [{ name: PROXY_CONTAINER, env }, ...namedPorts(pod)],
    },
    status: { podIPs: addressesOf(pod).map((ip) => ({ ip })) },
  };
}

/**
 * Whether the pod has, or will have, an address of its own. Pods in the node's network have not: they share
 * the node's address.
 */
function isReachable(pod: V1Pod): boolean {
  const { phase } = pod.status ?? {};
  if (phase === 'Succeeded' || phase === 'Failed' || pod.spec?.hostNetwork === true) return false;
  return addressesOf(pod).length > 0;
}

/** The addresses of a pod, of both families. */
export function addressesOf({ status }: V1Pod): string[] {
  const all = (status?.podIPs ?? []).map(({ ip }) => ip);
  if (all.length === 0 && status?.podIP !== undefined) all.push(status.podIP);
  return all.filter((ip) => ip !== '');
}

/**
 * How another proxy of the mesh speaks to a port of a meshed pod, by what Linkerd's destination service would
 * tell it (linkerd2 `endpoint_translator.go`); undefined = plainly, as where the pod leaves the port out of
 * the mesh. Pure.
 * @param trustDomain where the pod's proxy does not say it
 */
export function meshEndpoint(pod: V1Pod, port: number, trustDomain: string): MeshEndpoint | undefined {
  const { namespace = '', labels = {}, annotations = {} } = pod.metadata ?? {};
  const controlNamespace = labels[CONTROL_PLANE_LABEL];
  const names = portNames(pod, port);
  if (
    controlNamespace === undefined ||
    isListed(readAnnotation(annotations, SKIPPED_INBOUND_PORTS) ?? '', port, names)
  )
    return undefined;
  const serviceAccount = pod.spec?.serviceAccountName ?? 'default';
  const domain = trustDomainOf(pod, controlNamespace) ?? trustDomain;
  return {
    identity: accountIdentity({ serviceAccount, namespace, controlNamespace, trustDomain: domain }),
    port: inboundPort(pod),
    opaque:
      portProtocol({ port, names, opaquePorts: readAnnotation(annotations, OPAQUE_PORTS) }) === 'opaque',
  };
}

/** The proxy runs as a container or, as a native sidecar, among the init containers. */
function proxyOf({ spec }: V1Pod) {
  const all = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  return all.find((container) => container.name === PROXY_CONTAINER);
}

function variable(pod: V1Pod, name: string): string {
  return proxyOf(pod)?.env?.find((one) => one.name === name)?.value ?? '';
}

function inboundPort(pod: V1Pod): number {
  const texts = [
    variable(pod, LISTEN_VARIABLE).replace(/^.*:/, ''),
    readAnnotation(pod.metadata?.annotations, INBOUND_PORT) ?? '',
  ];
  for (const text of texts) {
    const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
    if (port >= 1 && port <= 65_535) return port;
  }
  return DEFAULT_INBOUND_PORT;
}

/**
 * The trust domain that the proxy is configured with: an environment variable, or the end of its identity.
 */
function trustDomainOf(pod: V1Pod, controlNamespace: string): string | undefined {
  const said = variable(pod, TRUST_DOMAIN_VARIABLE);
  const marker = meshSuffix({ controlNamespace, trustDomain: '' });
  const name = variable(pod, NAME_VARIABLE);
  const domain = said === '' ? (name.split(marker)[1] ?? '') : said;
  return /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(domain) ? domain : undefined;
}

/** Containers reduced to their ports, where a list names ports by name. */
function namedPorts(pod: V1Pod): { name: string; ports: { name: string; containerPort: number }[] }[] {
  const { annotations = {} } = pod.metadata ?? {};
  const lists = `${readAnnotation(annotations, OPAQUE_PORTS) ?? ''}${readAnnotation(annotations, SKIPPED_INBOUND_PORTS) ?? ''}`;
  if (!/[a-z]/.test(lists)) return [];
  return (pod.spec?.containers ?? [])
    .filter((container) => container.name !== PROXY_CONTAINER)
    .map(({ name, ports = [] }) => ({
      name,
      ports: ports.flatMap((port) =>
        port.name === undefined ? [] : [{ name: port.name, containerPort: port.containerPort }],
      ),
    }));
}

function portNames({ spec }: V1Pod, port: number): string[] {
  return (spec?.containers ?? [])
    .flatMap(({ ports = [] }) => ports)
    .filter(({ containerPort }) => containerPort === port)
    .flatMap(({ name }) => name ?? []);
}

function pick<K extends string>(
  keys: readonly K[],
  valueOf: (key: K) => string | undefined,
): Record<string, string> {
  const entries = keys.flatMap((key) => {
    const value = valueOf(key);
    return value === undefined ? [] : [[key, value] as const];
  });
  return Object.fromEntries(entries);
}
