/**
 * `npm run e2e -- --source east --target west`: the whole path in real pods of any two clusters that kubectl
 * has contexts for. Needs images that both clusters can pull or already have: of Linkspan (`--image`), with a
 * `node` that runs TypeScript (`--node-image`) and with curl (`--curl-image`). Prints a table of what it did
 * at the end; `--report FILE` writes it as Markdown.
 */
import { parseArgs } from 'node:util';
import { Context } from './clusters.ts';
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
import { checkNodePort, checkOperations, checkRenewal, linkTokens } from './operation-checks.ts';
import { checkProtocols } from './protocol-checks.ts';
import { Report } from './report.ts';
import { openRun } from './session.ts';

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

const report = new Report(showState);
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
const { source, target, system, say } = run;

try {
  await withIssuer(run, checkAll);
} catch (error) {
  report.abandon(error);
}
process.exitCode = report.passed ? 0 : 1;
process.stdout.write(report.table());
if (values.report !== undefined)
  report.write(values.report, `e2e: ${source.name} and ${target.name}, ${values.image}`);

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
    report.part('Uninstall');
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
