import type { V1CustomResourceDefinition } from '@kubernetes/client-node';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { HostNames } from '../../src/dns/host-names.ts';
import { systemClock } from '../../src/base/clock.ts';
import { loadAccess } from '../../src/kube/client/access.ts';
import { TARGET_BUDGETS } from '../../src/controllers/settings/target-budgets.ts';
import { parseSelector, parseSelectorText } from '../../src/api/kubernetes/label-selector.ts';
import type { MirrorControllerSettings } from '../../src/controllers/controller-settings.ts';
import { MirrorController } from '../../src/controllers/mirror-controller.ts';
import { DEFAULT_EGRESS_RANGE } from '../../src/api/egress/egress-ports.ts';
import { controlNamespaces } from '../../src/controllers/imports/import-rules.ts';
import { GatewayProbes } from '../../src/controllers/gateway-health/gateway-probes.ts';
import { Prober } from '../../src/controllers/gateway-health/probe-request.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { customResourceDefinitions } from '../../src/api/kubernetes/resource.ts';
import { find, isEstablished } from './cluster-objects.ts';
import { noNames } from './host-names.ts';
import { eventually } from './eventually.ts';
import type { ApiCluster } from './memory-cluster.ts';

const CRD = path.join(import.meta.dirname, '../../crds/links.multicluster.linkerd.io.yaml');

const crds = new WeakMap<ApiCluster, V1CustomResourceDefinition>();

/** Installs the Link CRD and waits until it is served. */
export async function installCrd(cluster: ApiCluster): Promise<void> {
  const crd = () => find(cluster, customResourceDefinitions, { name: 'links.multicluster.linkerd.io' });
  const [ours, now] = [crds.get(cluster), await crd()];
  // Most tests share a cluster, and find it as the one before left it.
  if (ours !== undefined && isSame(ours, now)) return;
  await cluster.apply(readFileSync(CRD, 'utf8'));
  const served = await eventually('the CRD is served', async () => {
    const found = await crd();
    return isEstablished(found) ? found : undefined;
  });
  crds.set(cluster, served);
}

function isSame(one: V1CustomResourceDefinition, other: V1CustomResourceDefinition | undefined): boolean {
  const [before, now] = [one.metadata, other?.metadata];
  return before?.uid === now?.uid && before?.generation === now?.generation;
}

/** Applies objects, in their order. */
export async function apply(cluster: ApiCluster, ...objects: object[]): Promise<void> {
  await cluster.apply(objects);
}

/**
 * The Secret and the Link that join `target` to a source, as link-gen prints them, with the target's admin
 * account.
 */
export function linkObjects(
  target: ApiCluster,
  namespace: string,
  name: string,
  spec: object = {},
  annotations: Readonly<Record<string, string>> = {},
): object[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'mirror.linkerd.io/remote-kubeconfig',
      metadata: { name: `cluster-credentials-${name}`, namespace },
      data: { kubeconfig: Buffer.from(readFileSync(target.kubeconfigFile)).toString('base64') },
    },
    {
      apiVersion: 'multicluster.linkerd.io/v1alpha3',
      kind: 'Link',
      metadata: { name, namespace, annotations },
      spec: {
        targetClusterName: name,
        targetClusterDomain: 'cluster.local',
        clusterCredentialsSecret: `cluster-credentials-${name}`,
        gatewayAddress: '10.200.0.19',
        gatewayPort: '4143',
        gatewayIdentity: 'gw.identity',
        selector: { matchLabels: { 'mirror.linkerd.io/exported': 'true' } },
        ...spec,
      },
    },
  ];
}

/** A gateway's Service as the chart installs it. */
export function gatewayService(namespace: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'linkerd-gateway',
      namespace,
      annotations: {
        'mirror.linkerd.io/gateway-identity': 'gw.identity',
        'mirror.linkerd.io/probe-path': '/ready',
        'mirror.linkerd.io/probe-period': '3',
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

/** A Service without pods and a slice with ready endpoints for it. */
export function exportedObjects(
  namespace: string,
  name: string,
  options: { exported?: boolean; addresses?: string[] } = {},
): object[] {
  const { exported = true, addresses = ['10.200.0.18'] } = options;
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name,
        namespace,
        labels: { team: 'blue', ...(exported ? { 'mirror.linkerd.io/exported': 'true' } : {}) },
      },
      spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `${name}-1`,
        namespace,
        labels: {
          'kubernetes.io/service-name': name,
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
      },
      addressType: 'IPv4',
      endpoints: addresses.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    },
  ];
}

/**
 * The `probeSpec` of a Link whose gateway is asked each second at that port, and is dead when it has refused
 * three times in a row, which takes half a second: a probe that is missed because the machine, or the process
 * of a test in which both ends live, stood still is no death.
 */
export function probedEachSecond(port: number): object {
  return { path: '/ready', port: String(port), period: '1s', timeout: '1s', failureThreshold: '3' };
}

/**
 * Starts a controller in this process; stop it with `stop()`. Logs go to stderr with LINKSPAN_TEST_LOG=info.
 */
export function startController(
  source: ApiCluster,
  settings: Partial<MirrorControllerSettings> & { namespace: string },
  options: { replica?: string; kubeconfigFile?: string; names?: HostNames } = {},
): MirrorController {
  const log = createLogger({ name: 'controller', level: process.env['LINKSPAN_TEST_LOG'] ?? 'silent' });
  const controller = new MirrorController({
    access: loadAccess({ file: options.kubeconfigFile ?? source.kubeconfigFile }),
    replica: options.replica ?? 'test',
    names: options.names ?? noNames(systemClock),
    health: ({ probe, ...options }) =>
      new GatewayProbes({
        ...options,
        spec: probe,
        prober: new Prober({ identity: () => undefined, clock: systemClock }),
        clock: systemClock,
        random: Math.random,
        log,
      }),
    clock: systemClock,
    random: Math.random,
    log,
    settings: {
      egressService: 'linkspan-egress',
      dataPath: 'gateway',
      writeEndpoints: false,
      dropGuard: { fraction: 0.5 },
      concurrency: 32,
      totalConcurrency: 64,
      egressRange: DEFAULT_EGRESS_RANGE,
      federatedSelector: parseSelector(parseSelectorText('mirror.linkerd.io/federated=member')),
      localExclusions: { label: undefined, annotation: undefined },
      flatEndpoints: false,
      headless: false,
      createNamespaces: false,
      annotationExports: true,
      allowedLabel: undefined,
      allowedAnnotation: undefined,
      steeringMetadata: false,
      controlNamespaces: controlNamespaces([settings.namespace]),
      ranges: { given: { pod: [], service: [], node: [] }, learn: true },
      hostGraceMs: 1000,
      budgets: TARGET_BUDGETS,
      leaseMs: 30_000,
      weights: { enabled: false, controllers: [], clusterDomain: 'cluster.local', scoped: false },
      ...settings,
    },
  });
  controller.start();
  return controller;
}
