import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';

const PROGRAMS = path.join(import.meta.dirname, 'programs');

/** The namespace of the workloads and the programs that their pods run. */
export function programManifests(namespace: string): string {
  const files = readdirSync(PROGRAMS).filter((name) => name.endsWith('.mts'));
  const data = Object.fromEntries(
    files.map((name) => [name, readFileSync(path.join(PROGRAMS, name), 'utf8')]),
  );
  return yaml(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'programs', namespace }, data },
  );
}

/** A pod with curl and nothing else, and one that programs are run in: plain clients. */
export function clientManifests(namespace: string, curlImage: string, nodeImage: string): string {
  return yaml(
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'curl', namespace },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [{ name: 'curl', image: curlImage, command: ['sleep', '1000000'] }],
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'client', namespace },
      spec: programPod(nodeImage, 'idle', []),
    },
  );
}

/** A Deployment with two replicas that answer with the pod's name, and its Service. */
export function webManifests(namespace: string, nodeImage: string, name = 'web'): string {
  return yaml(deployment(namespace, name, webPod(nodeImage)), {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  });
}

/** A StatefulSet with two replicas and its exported headless Service, in the target cluster. */
export function headlessManifests(namespace: string, nodeImage: string): string {
  return yaml(
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', namespace },
      spec: {
        serviceName: 'db',
        replicas: 2,
        podManagementPolicy: 'Parallel',
        selector: { matchLabels: { app: 'db' } },
        template: { metadata: { labels: { app: 'db' } }, spec: webPod(nodeImage) },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'db', namespace, labels: { 'mirror.linkerd.io/exported': 'true' } },
      spec: {
        clusterIP: 'None',
        selector: { app: 'db' },
        ports: [{ name: 'http', port: 80, targetPort: 8080 }],
      },
    },
  );
}

/** An application of every kind, two replicas, exported. */
export function protocolManifests(namespace: string, nodeImage: string): string {
  const ports = [8080, 8081, 8082, 8083];
  const ready = { tcpSocket: { port: 8083 }, periodSeconds: 1 };
  return yaml(deployment(namespace, 'protocols', programPod(nodeImage, 'protocols', ports, ready)), {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'protocols', namespace, labels: { 'mirror.linkerd.io/exported': 'true' } },
    spec: {
      selector: { app: 'protocols' },
      ports: [
        { name: 'http', port: 80, targetPort: 8080 },
        { name: 'grpc', port: 81, targetPort: 8081, appProtocol: 'kubernetes.io/h2c' },
        { name: 'raw', port: 82, targetPort: 8082, appProtocol: 'tcp' },
        { name: 'first', port: 83, targetPort: 8083, appProtocol: 'linkerd.io/opaque' },
      ],
    },
  });
}

/**
 * A member of a federated Service that says its cluster's name by every protocol of the open-loop clients.
 */
export function memberManifests(
  namespace: string,
  nodeImage: string,
  { cluster, replicas }: { readonly cluster: string; readonly replicas: number },
): string {
  const labels = { 'mirror.linkerd.io/federated': 'member' };
  return yaml(
    deployment(namespace, 'member', memberPod(nodeImage, cluster), replicas),
    memberService(namespace, 'member', { labels }),
  );
}

/** A Deployment of the same, without a Service; its pods have the label `app` with its name. */
export function answererManifests(
  namespace: string,
  nodeImage: string,
  { name, says, replicas }: { readonly name: string; readonly says: string; readonly replicas: number },
): string {
  return yaml(deployment(namespace, name, memberPod(nodeImage, says), replicas));
}

/** A Service of such pods. @param app the label of its pods; default: its name */
export function answererService(
  namespace: string,
  name: string,
  more: { readonly app?: string; readonly labels?: Readonly<Record<string, string>> } = {},
): string {
  return yaml(memberService(namespace, name, more));
}

function memberPod(nodeImage: string, says: string): object {
  const ports = [8080, 8081, 8082, 8083];
  const probe = { httpGet: { path: '/', port: 8083 }, periodSeconds: 1 };
  // One answer is believed, so that it is ready just as long as it says; a late one is none.
  const ready = { ...probe, failureThreshold: 1, timeoutSeconds: 5 };
  const args = [says, '', ...ports.map(String)];
  // It answers until it is killed; until then all must have heard that it goes.
  return { ...programPod(nodeImage, 'member', ports, ready, args), terminationGracePeriodSeconds: 10 };
}

function memberService(
  namespace: string,
  name: string,
  { app = name, labels = {} }: { readonly app?: string; readonly labels?: Readonly<Record<string, string>> },
): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, labels },
    spec: {
      selector: { app },
      ports: [
        { name: 'http', port: 80, targetPort: 8080 },
        { name: 'grpc', port: 81, targetPort: 8081, appProtocol: 'kubernetes.io/h2c' },
        { name: 'raw', port: 82, targetPort: 8082, appProtocol: 'tcp' },
      ],
    },
  };
}

function deployment(namespace: string, name: string, spec: object, replicas = 2): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec },
    },
  };
}

function webPod(nodeImage: string): object {
  return programPod(nodeImage, 'web', [8080], { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 });
}

/** A pod that runs one of the programs. */
function programPod(
  nodeImage: string,
  program: string,
  ports: number[],
  ready?: object,
  args: readonly string[] = [],
): object {
  return {
    terminationGracePeriodSeconds: 1,
    volumes: [{ name: 'programs', configMap: { name: 'programs' } }],
    containers: [
      {
        name: program,
        image: nodeImage,
        command: ['node', `/programs/${program}.mts`, ...args],
        env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
        ports: ports.map((containerPort) => ({ containerPort })),
        ...(ready === undefined ? {} : { readinessProbe: ready }),
        volumeMounts: [{ name: 'programs', mountPath: '/programs', readOnly: true }],
      },
    ],
  };
}

function yaml(...objects: object[]): string {
  return objects.map((object) => stringify(object)).join('---\n');
}
