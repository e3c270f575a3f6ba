import type { V1Container, V1ObjectMeta, V1Pod } from '@kubernetes/client-node';
import { readAnnotation } from '../../api/annotations.ts';
import { DEFAULT_INBOUND_POLICY } from '../../api/names.ts';
import type { ExternalWorkload } from '../../api/linkerd/linkerd-kinds.ts';

/** What Servers select: a pod, or a machine outside of the cluster (ExternalWorkload). */
export interface Workload {
  readonly kind: 'Pod' | 'ExternalWorkload';
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Numbers of its named TCP ports. */
  readonly ports: ReadonlyMap<string, readonly number[]>;
  /** Default policy of ports that no Server selects; undefined = the cluster's. */
  readonly defaultPolicy: string | undefined;
}

/**
 * The parts of a pod that are stored; there may be tens of thousands. Undefined for pods that have ended or
 * have no address yet.
 */
export function storedPolicyPod({ metadata, spec, status }: V1Pod): V1Pod | undefined {
  const ips = status?.podIPs ?? (status?.podIP === undefined ? [] : [{ ip: status.podIP }]);
  if (ips.length === 0 || status?.phase === 'Succeeded' || status?.phase === 'Failed') return undefined;
  return {
    metadata: storedMetadata(metadata),
    spec: { containers: namedPorts(spec) },
    status: { podIPs: ips.map(({ ip }) => ({ ip })) },
  };
}

function storedMetadata(metadata: V1Pod['metadata'] = {}): V1ObjectMeta {
  const { name, namespace, uid, resourceVersion, labels, annotations } = metadata;
  const policy = readAnnotation(annotations, DEFAULT_INBOUND_POLICY);
  const kept: V1ObjectMeta =
    policy === undefined ? {} : { annotations: { [DEFAULT_INBOUND_POLICY]: policy } };
  return Object.assign(kept, { name, namespace, uid, resourceVersion, labels });
}

/** Containers reduced to one that has all named TCP ports. */
function namedPorts(spec: V1Pod['spec']): V1Container[] {
  const ports = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])]
    .flatMap((container) => container.ports ?? [])
    .filter((port) => port.name !== undefined && (port.protocol ?? 'TCP') === 'TCP')
    .map((port) => ({ name: port.name ?? '', containerPort: port.containerPort }));
  return ports.length === 0 ? [] : [{ name: '', ports }];
}

/** Whether two stored pods are equal in everything that policies depend on. */
export function samePod(a: V1Pod, b: V1Pod): boolean {
  const facts = ({ metadata, spec, status }: V1Pod) =>
    JSON.stringify([metadata?.labels, metadata?.annotations, spec, status]);
  return facts(a) === facts(b);
}

/** The addresses of a stored pod. */
export function podAddresses({ status }: V1Pod): string[] {
  return (status?.podIPs ?? []).map(({ ip }) => ip);
}

/** A stored pod (`storedPolicyPod`) as Servers select it. */
export function workloadOfPod({ metadata, spec }: V1Pod): Workload {
  const ports = (spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  return {
    kind: 'Pod',
    namespace: metadata?.namespace ?? '',
    labels: metadata?.labels ?? {},
    ports: byName(ports.map(({ name, containerPort }) => [name ?? '', containerPort])),
    defaultPolicy: readAnnotation(metadata?.annotations, DEFAULT_INBOUND_POLICY),
  };
}

/** The addresses of a machine outside of the cluster. */
export function externalAddresses({ spec }: ExternalWorkload): string[] {
  return (spec?.workloadIPs ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
}

/** A machine outside of the cluster as Servers select it; of its ports only those of TCP. */
export function workloadOfExternal({ metadata, spec }: ExternalWorkload): Workload {
  const ports = (spec?.ports ?? []).filter(({ protocol = 'TCP' }) => protocol === 'TCP');
  return {
    kind: 'ExternalWorkload',
    namespace: metadata?.namespace ?? '',
    labels: metadata?.labels ?? {},
    ports: byName(ports.map(({ name = '', port = 0 }) => [name, port])),
    defaultPolicy: readAnnotation(metadata?.annotations, DEFAULT_INBOUND_POLICY),
  };
}

/** Numbers by name; ports without a name are left out. */
function byName(ports: readonly (readonly [string, number])[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const [name, number] of ports) {
    if (name === '') continue;
    const known = found.get(name);
    if (known === undefined) found.set(name, [number]);
    else known.push(number);
  }
  return found;
}
