/**
 * `npm run e2e -- --source east --target west`: the whole path in real pods of any two clusters that kubectl has contexts for. Needs an image of Linkspan that both
 * clusters can pull or already have (`--image`), and one with curl (`--curl-image`).
 */
import type { V1EndpointSlice, V1Service } from '@kubernetes/client-node';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { output, Context } from './clusters.ts';
import {
  checkDeletion,
  checkFederated,
  checkFlat,
  checkHeadless,
  checkRollouts,
  checkVerbs,
  type Run,
} from './mode-checks.ts';
import { checkProtocols } from './protocol-checks.ts';
import { curlManifests, identitySecret, webManifests } from './workloads.ts';

const { values } = parseArgs({
  options: {
    source: { type: 'string' },
    target: { type: 'string' },
    kubeconfig: { type: 'string' },
    image: { type: 'string', default: 'linkspan:dev' },
    'curl-image': { type: 'string', default: 'curlimages/curl:8.10.1' },
    'api-server-address': { type: 'string' },
    // The clusters' pods reach each other.
    flat: { type: 'boolean', default: false },
    // Only the path and its protocols: for links that are slow and lose packets.
    'only-protocols': { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
if (values.source === undefined || values.target === undefined)
  throw new Error('give --source CONTEXT and --target CONTEXT');

const ROOT = path.join(import.meta.dirname, '../..');
const MC = 'linkerd-multicluster';
const NS = 'linkspan-e2e';
const source = new Context(values.source, values.kubeconfig);
const target = new Context(values.target, values.kubeconfig);
const mirrorName = 'web-target';
const run: Run = {
  source,
  target,
  system: MC,
  namespace: NS,
  image: values.image,
  check,
  until,
  curl,
  linkspan,
  rolledOut,
};
const started = performance.now();
let passed = 0;
let failed = 0;

try {
  await install();
  if (values['only-protocols']) await checkProtocols(run);
  else await checkAll();
} catch (error) {
  failed++;
  process.stdout.write(`  ✘ ${error instanceof Error ? error.message : String(error)}\n`);
  await showState();
} finally {
  if (!values.keep) await cleanUp();
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

async function checkAll(): Promise<void> {
  await check('the mirror appears', async () => {
    await target.kubectl('-n', NS, 'label', 'service', 'web', 'mirror.linkerd.io/exported=true');
    await until(
      async () =>
        (await mirror()) !== undefined &&
        (await slices()).some((slice) => (slice.endpoints ?? []).length > 0),
    );
    return (await mirror())?.spec?.clusterIP ?? '';
  });
  await check('a plain curl pod in the source gets answers from both replicas in the target', async () => {
    const pods = new Set<string>();
    await until(async () => {
      pods.add((await curl(`http://${mirrorName}/`)).split(' ')[0] ?? '');
      return pods.size === 2;
    });
    return [...pods].sort((a, b) => a.localeCompare(b)).join(', ');
  });
  await check('the target sees the identity of the egress, not of the network', async () => {
    const [, identity = ''] = (await curl(`http://${mirrorName}.${NS}.svc/`)).trim().split(' ');
    if (!identity.startsWith(`linkspan-egress.${MC}.serviceaccount.`))
      throw new Error(`it saw "${identity}"`);
    return identity;
  });
  await check('restarting the controller changes nothing, and traffic goes on meanwhile', async () => {
    const before = await state();
    await source.kubectl('-n', MC, 'rollout', 'restart', 'deployment/linkspan-controller');
    const seen = { answers: 0, rolling: true };
    const rollout = source
      .kubectl('-n', MC, 'rollout', 'status', 'deployment/linkspan-controller', '--timeout=120s')
      .finally(() => (seen.rolling = false));
    // Not one request may fail, so failures are not retried here.
    const asking = (async () => {
      do {
        await curl(`http://${mirrorName}/`);
        seen.answers++;
      } while (seen.rolling);
    })();
    await Promise.all([rollout, asking]);
    await source.kubectl('-n', MC, 'wait', '--for=condition=Synced', 'link/target', '--timeout=60s');
    const after = await state();
    if (before !== after) throw new Error(`before ${before}, after ${after}`);
    return `${seen.answers} answers meanwhile`;
  });
  await checkRollouts(run);
  await checkProtocols(run);
  await checkVerbs(run);
  await checkFederated(run);
  await checkHeadless(run);
  if (values.flat) await checkFlat(run);
  await check('deleting the label removes the mirror', async () => {
    await target.kubectl('-n', NS, 'label', 'service', 'web', 'mirror.linkerd.io/exported-');
    await until(async () => (await mirror()) === undefined && (await slices()).length === 0);
    return '';
  });
  await checkDeletion(run);
}

async function install(): Promise<void> {
  say('identities, gateway and web service into the target');
  const dir = await mkdtemp(path.join(os.tmpdir(), 'linkspan-e2e-'));
  try {
    await linkspan('identity', 'anchor', '--out', `${dir}/anchor`);
    await linkspan('identity', 'issuer', '--anchor', `${dir}/anchor`, '--out', `${dir}/issuer`);
    await installTarget(await leaf(dir, 'linkerd-gateway'));
    say('controller, egress and a curl pod into the source');
    await installSource(await leaf(dir, 'linkspan-egress'));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
  say('link-gen there, apply here');
  const address =
    values['api-server-address'] === undefined ? [] : ['--api-server-address', values['api-server-address']];
  await source.apply(
    await linkspan(
      'link-gen',
      '--cluster-name',
      'target',
      '--no-destination-credentials',
      ...target.flags,
      ...address,
    ),
  );
  await until(
    async () => (await source.kubectl('-n', MC, 'wait', '--for=condition=Synced', 'link/target')) !== '',
  );
  await source.kubectl('-n', NS, 'wait', '--for=condition=Ready', 'pod/curl', '--timeout=60s');
  say('linked');
}

async function installTarget(identity: Record<string, string>): Promise<void> {
  await target.apply(await manifest('target.yaml'));
  await target.apply(identitySecret('linkspan-gateway-identity', MC, identity));
  await target.apply(webManifests(NS, values.image));
  await rolledOut(target, MC, 'linkerd-gateway');
  await rolledOut(target, NS, 'web');
  await until(async () => {
    const service = await target.json<V1Service>('-n', MC, 'service', 'linkerd-gateway');
    return (service?.status?.loadBalancer?.ingress ?? []).length > 0;
  });
}

async function installSource(identity: Record<string, string>): Promise<void> {
  await source.kubectl('apply', '-f', path.join(ROOT, 'crds'));
  // kubectl fails outright while the new CRD has no conditions at all.
  await until(
    async () =>
      (await source.kubectl('wait', '--for=condition=Established', 'crd/links.multicluster.linkerd.io')) !==
      '',
  );
  await source.apply(await manifest('source.yaml'));
  await source.apply(identitySecret('linkspan-egress-identity', MC, identity));
  await source.apply(curlManifests(NS, values['curl-image']));
  await rolledOut(source, MC, 'linkspan-controller');
  await rolledOut(source, MC, 'linkspan-egress');
}

async function leaf(dir: string, account: string): Promise<Record<string, string>> {
  const out = path.join(dir, account);
  await linkspan(
    'identity',
    'leaf',
    '--issuer',
    `${dir}/issuer`,
    '--service-account',
    account,
    '--namespace',
    MC,
    '--out',
    out,
  );
  const names = ['tls.crt', 'tls.key', 'ca.crt'];
  return Object.fromEntries(
    await Promise.all(
      names.map(async (name) => [name, await readFile(path.join(out, name), 'utf8')] as const),
    ),
  );
}

async function manifest(name: string): Promise<string> {
  const text = await readFile(path.join(ROOT, 'manifests', name), 'utf8');
  return text.replaceAll('image: linkspan:dev', `image: ${values.image}`);
}

function linkspan(...args: string[]): Promise<string> {
  return output(process.execPath, [path.join(ROOT, 'bin/linkspan.js'), ...args]);
}

async function rolledOut(context: Context, namespace: string, name: string): Promise<void> {
  await context.kubectl('-n', namespace, 'rollout', 'status', `deployment/${name}`, '--timeout=120s');
}

function curl(url: string): Promise<string> {
  return source.kubectl(
    '-n',
    NS,
    'exec',
    'curl',
    '--',
    'curl',
    '-sS',
    '--fail-with-body',
    '--max-time',
    '5',
    url,
  );
}

function mirror(): Promise<V1Service | undefined> {
  return source.json<V1Service>('-n', NS, 'service', mirrorName);
}

async function slices(): Promise<V1EndpointSlice[]> {
  const selector = `kubernetes.io/service-name=${mirrorName}`;
  return (
    (await source.json<{ items: V1EndpointSlice[] }>('-n', NS, 'endpointslices', '-l', selector))?.items ?? []
  );
}

/** What a write of the controller would change. */
async function state(): Promise<string> {
  const versions = [await mirror(), ...(await slices())].map(
    (object) => `${object?.metadata?.uid}@${object?.metadata?.resourceVersion}`,
  );
  return versions.join(' ');
}

async function check(what: string, probe: () => Promise<string>): Promise<void> {
  const detail = await probe();
  passed++;
  say(`✔ ${what}${detail === '' ? '' : ` (${detail})`}`);
}

/** Waits for a condition; failures of the probe count as "not yet". */
async function until(probe: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < end) {
    try {
      if (await probe()) return;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('gave up waiting', { cause: last });
}

function say(text: string): void {
  process.stdout.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
}

async function showState(): Promise<void> {
  for (const [context, name] of [
    [target, 'linkerd-gateway'],
    [source, 'linkspan-controller'],
    [source, 'linkspan-egress'],
  ] as const) {
    const log = await context.kubectl('-n', MC, 'logs', `deployment/${name}`, '--tail=15').catch(String);
    process.stdout.write(`--- ${context.name} ${name}\n${log}\n`);
  }
}

async function cleanUp(): Promise<void> {
  say('removing everything again (--keep leaves it)');
  const common = ['--ignore-not-found', '--wait=true', '--timeout=60s'];
  await Promise.allSettled([
    source.kubectl('delete', 'namespace', NS, ...common),
    target.kubectl('delete', 'namespace', NS, ...common),
    target.kubectl('delete', '-f', path.join(ROOT, 'manifests/target.yaml'), ...common),
    source.kubectl('delete', '-f', path.join(ROOT, 'manifests/source.yaml'), ...common),
    source.kubectl('delete', '-f', path.join(ROOT, 'crds'), ...common),
  ]);
}
