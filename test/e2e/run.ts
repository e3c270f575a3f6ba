/**
 * `npm run e2e -- --source east --target west`: the whole path in real pods of any two clusters that kubectl
 * has contexts for. Needs images that both clusters can pull or already have: of Linkspan (`--image`), with a
 * `node` that runs TypeScript (`--node-image`) and with curl (`--curl-image`). Prints a table of what it did
 * at the end; `--report FILE` writes it as Markdown. `npm run e2e -- --clusters east,west,north`: what
 * clients in the first see while the others are lost.
 */
import { parseArgs } from 'node:util';
import { Context } from './clusters.ts';
import { runFailover } from './failover-run.ts';
import { checkHostile, removeHostile } from './hostile-checks.ts';
import {
  checkBothWays,
  checkInstall,
  checkUninstall,
  removeWorkloads,
  startWorkloads,
} from './install-checks.ts';
import { byCommand, byHelm, type Installation, type IssuerFiles, withIssuer } from './installation.ts';
import { inventory } from './inventory.ts';
import { checkMirror, checkUnexport } from './mirror-checks.ts';
import {
  checkDeletion,
  checkFederated,
  checkFlat,
  checkHeadless,
  checkRollouts,
  checkVerbs,
} from './mode-checks.ts';
import { checkObserved } from './observed-checks.ts';
import { checkNodePort, checkOperations, checkRenewal, linkTokens } from './operation-checks.ts';
import { checkProtocols } from './protocol-checks.ts';
import { Report } from './report.ts';
import { openRun } from './session.ts';

const { values } = parseArgs({
  options: {
    source: { type: 'string' },
    target: { type: 'string' },
    // Instead of the two: a source and two targets, for what happens when a cluster is lost.
    clusters: { type: 'string' },
    rps: { type: 'string', default: '100' },
    replicas: { type: 'string', default: '10' },
    // A folder with wan.sh and svc.sh, by which clusters are cut off.
    testbed: { type: 'string' },
    // A folder with the CustomResourceDefinitions of TrafficSplits, HTTPRoutes and GRPCRoutes.
    crds: { type: 'string' },
    // The program of Flagger, whose CustomResourceDefinitions are in that folder too.
    flagger: { type: 'string' },
    // Only the steps with such words in their names, beside those that all others need and the end.
    grep: { type: 'string' },
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
const clusters = values.clusters?.split(',') ?? [values.source ?? '', values.target ?? ''];
if (clusters.includes('') || clusters.length !== (values.clusters === undefined ? 2 : 3))
  throw new Error('give --source CONTEXT and --target CONTEXT, or --clusters SOURCE,TARGET,TARGET');
const [first, ...targets] = clusters.map((name) => new Context(name, values.kubeconfig));
const [second] = targets;
if (first === undefined || second === undefined) throw new Error('there are no clusters');

const report = new Report(showState, values.grep === undefined ? undefined : new RegExp(values.grep));
const run = openRun(
  {
    source: first,
    target: second,
    image: values.image,
    nodeImage: values['node-image'],
    curlImage: values['curl-image'],
    helm: values.helm,
    apiServerAddress: values['api-server-address'],
    sourceApiServerAddress: values['source-api-server-address'],
  },
  report,
);
const { source, target, system, say } = run;

try {
  await withIssuer(run, values.clusters === undefined ? checkAll : checkThree);
} catch (error) {
  report.abandon(error);
}
process.exitCode = report.passed ? 0 : 1;
process.stdout.write(report.table());
if (values.report !== undefined) report.write(values.report, `e2e: ${clusters.join(', ')}, ${values.image}`);

async function checkThree(files: IssuerFiles): Promise<void> {
  const { keep, testbed, crds, flagger } = values;
  const [rps, replicas] = [Number(values.rps), Number(values.replicas)];
  await runFailover({ ...run, targets, rps, replicas, testbed, crds, flagger }, report, { files, keep });
}

async function checkAll(files: IssuerFiles): Promise<void> {
  const before = new Map([
    [source, await inventory(source)],
    [target, await inventory(target)],
  ]);
  for (const [context, objects] of before)
    if (objects.has(`Namespace/${system}`))
      throw new Error(`${context.name} has a namespace ${system} already`);
  const installed = { source: byCommand(run, source, files), target: byHelm(run, target, files) };
  try {
    report.part('Install', { needed: true });
    await checkInstall(run, Object.values(installed));
    const tokens = await linkTokens(run);
    await run.check('workloads run in both clusters', () => startWorkloads(run));
    if (values['only-protocols']) await checkProtocols(run);
    else await checkPath(installed, tokens);
    if (values.keep && !report.passed) return;
    report.part('Uninstall', { always: true });
    await checkUninstall(run, Object.values(installed), before);
  } catch (error) {
    if (!values.keep) await removeAll(Object.values(installed));
    throw error;
  }
}

/** Everything between installing and uninstalling. */
async function checkPath(
  installed: { readonly source: Installation; readonly target: Installation },
  tokens: readonly string[],
): Promise<void> {
  await checkBothWays(run);
  report.part('Mirrors');
  await checkMirror(run);
  await checkRollouts(run);
  await checkProtocols(run);
  await checkVerbs(run);
  report.part('What people see');
  await checkObserved(run);
  report.part('Modes');
  await checkFederated(run);
  await checkHeadless(run, installed.source);
  report.part('Hostile company');
  try {
    await checkHostile(run);
  } finally {
    await removeHostile(run);
  }
  report.part('Operation');
  await checkOperations(run, installed);
  await checkRenewal(run, tokens);
  await checkNodePort(run, installed.target);
  if (values.flat) await checkFlat(run, installed.source);
  await checkUnexport(run);
  await checkDeletion(run);
}

async function showState(): Promise<void> {
  for (const [context, name] of [
    [target, 'linkerd-gateway'],
    [source, 'linkspan-controller'],
    [source, 'linkspan-signer'],
    [source, 'linkspan-egress'],
  ] as const) {
    const log = await context.kubectl('-n', system, 'logs', `deployment/${name}`, '--tail=15').catch(String);
    process.stdout.write(`--- ${context.name} ${name}\n${log}\n`);
  }
}

/** After a failure, so that the next run begins with clusters without anything. */
async function removeAll(installations: readonly Installation[]): Promise<void> {
  say('removing everything again (--keep leaves it)');
  for (const { context } of installations)
    await context.kubectl('-n', system, 'delete', 'links.multicluster.linkerd.io', '--all').catch(() => '');
  for (const installation of installations) {
    await installation.uninstall().catch((error: unknown) => say(String(error)));
    await removeWorkloads(run, installation.context);
  }
}
