import type { V1Service } from '@kubernetes/client-node';
import { CommandError } from './clusters.ts';
import type { Run } from './session.ts';

const OTHER = 'linkspan-e2e-other';
const TENANT = 'tenant';
/** Of the egress' own range: any port that is not the mirror's. */
const STOLEN = '{"80":10001}';

/**
 * What a tenant of either cluster, and a target that was taken over, would try: with the rights that they
 * have, in a running installation.
 */
export async function checkHostile(run: Run): Promise<void> {
  await checkTenant(run);
  await checkClients(run);
  await checkTarget(run);
}

async function checkTenant(run: Run): Promise<void> {
  const { source, namespace, check, until, curl } = run;
  const annotate = (...flags: string[]) =>
    source.kubectl('-n', namespace, 'annotate', 'service', 'web-target', '--overwrite', ...flags);
  await check('a tenant may not write what controllers say on mirrors', async () => {
    await source.kubectl('-n', namespace, 'create', 'serviceaccount', TENANT);
    await source.kubectl('-n', namespace, 'create', 'role', TENANT, '--verb=*', '--resource=services');
    const account = `${namespace}:${TENANT}`;
    await source.kubectl(
      '-n',
      namespace,
      'create',
      'rolebinding',
      TENANT,
      `--role=${TENANT}`,
      `--serviceaccount=${account}`,
    );
    const as = `--as=system:serviceaccount:${account}`;
    for (const mark of [
      `linkspan.dev/egress-ports=${STOLEN}`,
      'mirror.linkerd.io/remote-svc-fq-name=evil.evil.svc.cluster.local',
    ])
      await refused(() => annotate(mark, as), /admission|denied|ValidatingAdmissionPolicy/i);
    // What is its own goes through.
    await annotate('example.com/note=mine', as);
    return 'refused by the admission policy';
  });
  await check('what somebody writes on a mirror all the same moves no port and is put right', async () => {
    const before = await portsOf(run);
    await annotate(`linkspan.dev/egress-ports=${STOLEN}`);
    await curl('http://web-target/');
    await until(async () => (await portsOf(run)) === before);
    await curl('http://web-target/');
    return before;
  });
}

async function portsOf({ source, namespace }: Run): Promise<string> {
  const mirror = await source.json<V1Service>('-n', namespace, 'service', 'web-target');
  return mirror?.metadata?.annotations?.['linkspan.dev/egress-ports'] ?? '';
}

async function checkClients(run: Run): Promise<void> {
  const { source, namespace, curlImage, check, until, curl } = run;
  const url = `http://web-target.${namespace}.svc/`;
  const curlIn = (from: string, ...flags: string[]) =>
    source.kubectl('-n', from, 'exec', 'curl', '--', 'curl', '-sS', '-o', '/dev/null', ...flags, url);
  const fromOther = () => curlIn(OTHER, '-w', '%{http_code}', '--max-time', '10');
  await check(
    'a mirror for some namespaces is closed to the others, and open again when they are named',
    async () => {
      await source.kubectl('create', 'namespace', OTHER);
      const pod = {
        containers: [{ name: 'curl', image: curlImage, command: ['sleep', '1000000'] }],
        terminationGracePeriodSeconds: 1,
      };
      await source.apply(
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: 'curl', namespace: OTHER },
          spec: pod,
        }),
      );
      await source.kubectl('-n', OTHER, 'wait', '--for=condition=Ready', 'pod/curl', '--timeout=60s');
      await until(async () => (await fromOther()) === '200');
      const allow = (list: string) =>
        source.kubectl(
          '-n',
          namespace,
          'annotate',
          'service',
          'web-target',
          '--overwrite',
          `linkspan.dev/allowed-namespaces=${list}`,
        );
      await allow('');
      await until(async () => (await fromOther()) === '403');
      await curl('http://web-target/');
      await allow(OTHER);
      await until(async () => (await fromOther()) === '200');
      await source.kubectl(
        '-n',
        namespace,
        'annotate',
        'service',
        'web-target',
        'linkspan.dev/allowed-namespaces-',
      );
      return '403, and 200';
    },
  );
  await check('6 KB that once stopped a gateway for minutes stop nobody', async () => {
    const evil = `forwarded: by=${' '.repeat(5900)}"a"b`;
    await curlIn(namespace, '-H', evil, '--max-time', '5');
    const start = performance.now();
    await curl('http://web-target/');
    return `the next request took ${Math.round(performance.now() - start)} ms, kubectl included`;
  });
}

async function checkTarget(run: Run): Promise<void> {
  const { source, target, namespace, system, check, until } = run;
  const exported = (context: typeof target, ns: string, name: string) =>
    context.kubectl('-n', ns, 'label', 'service', name, 'mirror.linkerd.io/exported=true');
  await check(
    'what the target exports from kube-system is mirrored nowhere, and the Link says so',
    async () => {
      await target.kubectl('-n', 'kube-system', 'create', 'service', 'clusterip', 'evil', '--tcp=80');
      try {
        await exported(target, 'kube-system', 'evil');
        await until(async () => {
          const link = JSON.stringify(
            await source.json('-n', system, 'links.multicluster.linkerd.io', 'target'),
          );
          return link.includes('ImportNamespaceRefused');
        });
        const mirror = await source.json('-n', 'kube-system', 'service', 'evil-target');
        if (mirror !== undefined) throw new Error('it is mirrored');
      } finally {
        await target.kubectl('-n', 'kube-system', 'delete', 'service', 'evil');
      }
      return 'ImportNamespaceRefused';
    },
  );
  await check("annotations that steer the source's own machinery stay over there", async () => {
    await target.kubectl('-n', namespace, 'create', 'service', 'clusterip', 'steer', '--tcp=80');
    try {
      const marks = [
        'external-dns.alpha.kubernetes.io/hostname=login.bank.example',
        'service.cilium.io/global=true',
        'example.com/note=kept',
      ];
      await target.kubectl('-n', namespace, 'annotate', 'service', 'steer', ...marks);
      await exported(target, namespace, 'steer');
      let annotations: Readonly<Record<string, string>> = {};
      await until(async () => {
        const mirror = await source.json<V1Service>('-n', namespace, 'service', 'steer-target');
        annotations = mirror?.metadata?.annotations ?? {};
        return annotations['example.com/note'] === 'kept';
      });
      const steering = Object.keys(annotations).filter((key) => /external-dns|cilium/.test(key));
      if (steering.length > 0) throw new Error(steering.join(', '));
    } finally {
      await target.kubectl('-n', namespace, 'delete', 'service', 'steer');
    }
    return '';
  });
}

/** That a command is refused, and for that reason. */
async function refused(attempt: () => Promise<unknown>, why: RegExp): Promise<void> {
  try {
    await attempt();
  } catch (error) {
    if (error instanceof CommandError && why.test(error.stderr)) return;
    throw error;
  }
  throw new Error('it was allowed');
}

/** Takes away what these checks made. */
export async function removeHostile({ source, namespace }: Run): Promise<void> {
  await source.kubectl('delete', 'namespace', OTHER, '--ignore-not-found', '--wait=true');
  for (const kind of ['rolebinding', 'role', 'serviceaccount'])
    await source.kubectl('-n', namespace, 'delete', kind, TENANT, '--ignore-not-found');
}
