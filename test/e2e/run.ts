/**
 * `npm run e2e -- --source east --target west`: the whole path in real pods of any two clusters that kubectl has contexts for. Needs images that both clusters can pull or already have: of Linkspan
 * (`--image`), with a `node` that runs TypeScript (`--node-image`) and with curl (`--curl-image`). Prints a table of what it did at the end; `--report FILE` writes it as Markdown.
 */
import type { V1Service } from '@kubernetes/client-node';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Context } from './clusters.ts';
import { checkMirror, checkUnexport } from './mirror-checks.ts';
import {
  checkDeletion,
  checkFederated,
  checkFlat,
  checkHeadless,
  checkRollouts,
  checkVerbs,
} from './mode-checks.ts';
import { checkProtocols } from './protocol-checks.ts';
import { Report } from './report.ts';
import { openRun, ROOT } from './session.ts';
import { clientManifests, identitySecret, programManifests, webManifests } from './workloads.ts';

const { values } = parseArgs({
  options: {
    source: { type: 'string' },
    target: { type: 'string' },
    kubeconfig: { type: 'string' },
    image: { type: 'string', default: 'linkspan:dev' },
    'node-image': { type: 'string', default: 'node:26-slim' },
    'curl-image': { type: 'string', default: 'curlimages/curl:8.10.1' },
    helm: { type: 'string', default: process.env['LINKSPAN_HELM'] ?? 'helm' },
    'api-server-address': { type: 'string' },
    'source-api-server-address': { type: 'string' },
    report: { type: 'string' },
    // The clusters' pods reach each other.
    flat: { type: 'boolean', default: false },
    // Only the path and its protocols: for links that are slow and lose packets.
    'only-protocols': { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
if (values.source === undefined || values.target === undefined)
  throw new Error('give --source CONTEXT and --target CONTEXT');

const report = new Report();
const run = openRun(
  {
    source: new Context(values.source, values.kubeconfig),
    target: new Context(values.target, values.kubeconfig),
    image: values.image,
    nodeImage: values['node-image'],
    curlImage: values['curl-image'],
    helm: values.helm,
    apiServerAddress: values['api-server-address'],
    sourceApiServerAddress: values['source-api-server-address'],
  },
  report,
);
const { source, target, system: MC, namespace: NS, linkspan, rolledOut, until, say } = run;

try {
  await install();
  if (values['only-protocols']) await checkProtocols(run);
  else await checkAll();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  await showState();
} finally {
  if (!values.keep) await cleanUp();
}
process.stdout.write(report.table());
if (values.report !== undefined)
  report.write(values.report, `e2e: ${source.name} and ${target.name}, ${values.image}`);
process.exitCode = report.passed ? 0 : 1;

async function checkAll(): Promise<void> {
  report.part('Mirrors');
  await checkMirror(run);
  await checkRollouts(run);
  await checkProtocols(run);
  await checkVerbs(run);
  await checkFederated(run);
  await checkHeadless(run);
  if (values.flat) await checkFlat(run);
  await checkUnexport(run);
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
  await source.kubectl('-n', NS, 'wait', '--for=condition=Ready', 'pod/curl', 'pod/client', '--timeout=60s');
  say('linked');
}

async function installTarget(identity: Record<string, string>): Promise<void> {
  await target.apply(await manifest('target.yaml'));
  await target.apply(identitySecret('linkspan-gateway-identity', MC, identity));
  await target.apply(programManifests(NS));
  await target.apply(webManifests(NS, values['node-image']));
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
  await source.apply(programManifests(NS));
  await source.apply(clientManifests(NS, values['curl-image'], values['node-image']));
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
