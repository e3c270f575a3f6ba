/** The objects that the clusters of the benchmark have. */

/** Namespace of the Links in the source cluster. */
export const LINKS = 'linkerd-multicluster';
/** Namespace of the Services in all clusters. */
export const NAMESPACE = 'shop';
/** The first port of the origins of the first target; each target has three. */
const FIRST_PORT = 9001;
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
/** As kube's own controller marks slices. */
const SLICE_CONTROLLER = 'endpointslice-controller.k8s.io';

/** Ports of the origins of a target: HTTP/1, HTTP/2, raw. */
export function originPorts(target: number): readonly [number, number, number] {
  const first = FIRST_PORT + 10 * target;
  return [first, first + 1, first + 2];
}

export function namespaceManifests(): object[] {
  return [LINKS, NAMESPACE].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }));
}

/** The Service of the chart by which the controller finds egress pods: here one process. */
export function egressManifests(address: string): object[] {
  const name = 'linkspan-egress';
  const ports = [
    { name: 'admin', port: 4192 },
    { name: 'groups', port: 4193 },
  ];
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: LINKS },
      spec: { clusterIP: 'None', ports },
    },
    slice({ namespace: LINKS, service: name, labels: {}, addresses: [address], ready: 1, ports }),
  ];
}

/** The Secret and the Link that join a target to the source, as `linkspan link-gen` prints them. */
export function linkManifests(options: {
  readonly name: string;
  readonly kubeconfig: string;
  readonly identity: string;
  readonly address: string;
  readonly port: number;
  readonly probePort: number;
}): object[] {
  const { name, kubeconfig, identity, address, port, probePort } = options;
  const secret = `cluster-credentials-${name}`;
  return [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'mirror.linkerd.io/remote-kubeconfig',
      metadata: { name: secret, namespace: LINKS },
      data: { kubeconfig: Buffer.from(kubeconfig).toString('base64') },
    },
    {
      apiVersion: 'multicluster.linkerd.io/v1alpha3',
      kind: 'Link',
      metadata: { name, namespace: LINKS },
      spec: {
        targetClusterName: name,
        targetClusterDomain: 'cluster.local',
        clusterCredentialsSecret: secret,
        gatewayAddress: address,
        gatewayPort: String(port),
        gatewayIdentity: identity,
        probeSpec: {
          path: '/ready',
          port: String(probePort),
          period: '3s',
          timeout: '30s',
          failureThreshold: '3',
        },
        selector: { matchLabels: { 'mirror.linkerd.io/exported': 'true' } },
        federatedServiceSelector: { matchLabels: { 'mirror.linkerd.io/federated': 'member' } },
      },
    },
  ];
}

/** A member of a federated Service in a target, as kube makes its slice. */
export function memberManifests(options: {
  readonly name: string;
  readonly target: number;
  readonly addresses: readonly string[];
}): object[] {
  const { name, target, addresses } = options;
  const [http, http2, raw] = originPorts(target);
  const labels = { 'mirror.linkerd.io/federated': 'member' };
  const ports = [
    { name: 'http', port: http },
    { name: 'grpc', port: http2, appProtocol: 'kubernetes.io/h2c' },
    { name: 'raw', port: raw, appProtocol: 'tcp' },
  ];
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: NAMESPACE, labels },
      spec: {
        ports: ports.map(({ port, ...rest }, index) => ({ ...rest, port: 80 + index, targetPort: port })),
      },
    },
    slice({
      namespace: NAMESPACE,
      service: name,
      labels,
      addresses,
      ready: addresses.length,
      ports,
    }),
  ];
}

/** Endpoints of which the first `ready` are ready. */
export function endpointsOf(addresses: readonly string[], ready: number): object[] {
  return addresses.map((one, index) => ({ addresses: [one], conditions: { ready: index < ready } }));
}

/** The name of a Service's one slice. */
export function sliceName(service: string): string {
  return `${service}-1`;
}

function slice(options: {
  readonly namespace: string;
  readonly service: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly ready: number;
  readonly ports: readonly object[];
}): object {
  const { namespace, service, labels, addresses, ready, ports } = options;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: sliceName(service),
      namespace,
      labels: { ...labels, 'kubernetes.io/service-name': service, [MANAGED_BY]: SLICE_CONTROLLER },
    },
    addressType: 'IPv4',
    endpoints: endpointsOf(addresses, ready),
    ports: ports.map((port) => ({ protocol: 'TCP', ...port })),
  };
}
