import { stringify } from 'yaml';

/** Answers with the pod's name. Runs in the Linkspan image, so that e2e needs no other image for it. */
const WEB = `require('node:http').createServer((q, r) => r.end(process.env.POD + ' ' + (q.headers['l5d-client-id'] || '-') + '\\n')).listen(8080)`;

/** A web Deployment with two replicas and its Service, in the target cluster. */
export function webManifests(namespace: string, image: string): string {
  return yaml(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { labels: { app: 'web' } },
          spec: {
            terminationGracePeriodSeconds: 1,
            ...webPod(image),
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace },
      spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
    },
  );
}

/** A StatefulSet with two replicas and its exported headless Service, in the target cluster. */
export function headlessManifests(namespace: string, image: string): string {
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
        template: {
          metadata: { labels: { app: 'db' } },
          spec: { ...webPod(image), terminationGracePeriodSeconds: 1 },
        },
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

/** A container that answers with the pod's name. */
function webPod(image: string): object {
  return {
    containers: [
      {
        name: 'web',
        image,
        command: ['node', '-e', WEB],
        env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
        ports: [{ name: 'http', containerPort: 8080 }],
        readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
      },
    ],
  };
}

/** A pod with curl and nothing else, in the source cluster. */
export function curlManifests(namespace: string, image: string): string {
  return yaml(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'curl', namespace },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [{ name: 'curl', image, command: ['sleep', '1000000'] }],
      },
    },
  );
}

/** A Secret with the files of an identity folder. */
export function identitySecret(
  name: string,
  namespace: string,
  files: Readonly<Record<string, string>>,
): string {
  return yaml({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData: files });
}

function yaml(...objects: object[]): string {
  return objects.map((object) => stringify(object)).join('---\n');
}
