import type { Context } from './clusters.ts';
import { checkFailover } from './failover-checks.ts';
import { checkFlagger } from './flagger-checks.ts';
import { type FailoverRun, openScene, SERVICE, SHORT_POLICY } from './failover-scene.ts';
import { removeWorkloads } from './install-checks.ts';
import { checkSplits } from './split-checks.ts';
import { checkWeights } from './weight-checks.ts';
import { byCommand, type Installation, type IssuerFiles } from './installation.ts';
import type { Report } from './report.ts';
import { clientManifests, memberManifests, programManifests } from './workloads.ts';

/**
 * `--clusters SOURCE,TARGET,TARGET`: from three clusters without anything to a Service of two of them that
 * clients in the first one use while clusters are lost, and back.
 */
export async function runFailover(
  run: FailoverRun,
  report: Report,
  { files, keep }: { readonly files: IssuerFiles; readonly keep: boolean },
): Promise<void> {
  const contexts = [run.source, ...run.targets];
  const installations = contexts.map((context) => byCommand(run, context, files));
  try {
    report.part('Install', { needed: true });
    for (const installation of installations)
      await run.check(`${installation.way} in ${installation.context.name}`, async () => {
        await installation.install();
        return '';
      });
    for (const target of run.targets)
      await run.check(`${run.source.name} is linked to ${target.name}`, () => link(run, target));
    await run.check('members and clients run', () => startMembers(run));
    if (run.crds === undefined) run.say('without --crds no kinds of splits and routes are installed');
    else {
      report.part('Splits and routes in the target');
      await checkSplits(run);
      report.part('Weights for sidecars');
      await checkWeights(run);
      await checkFlagger(run);
    }
    report.part('Failover');
    await checkFailover(run);
  } finally {
    if (!keep || report.passed) await removeAll(run, installations);
  }
}

async function link(run: FailoverRun, target: Context): Promise<string> {
  const flags = [`--source-context=${run.source.name}`, `--cluster-name=${target.name}`];
  await run.linkspan('link', ...target.flags, ...flags);
  return '';
}

async function startMembers(run: FailoverRun): Promise<string> {
  const { source, targets, namespace, nodeImage, replicas } = run;
  await source.apply(programManifests(namespace));
  await source.apply(clientManifests(namespace, run.curlImage, nodeImage));
  for (const target of targets) {
    await target.apply(programManifests(namespace));
    await target.apply(memberManifests(namespace, nodeImage, { cluster: target.name, replicas }));
  }
  await source.kubectl('-n', namespace, 'wait', '--for=condition=Ready', 'pod/client', '--timeout=90s');
  for (const target of targets) await run.rolledOut(target, namespace, 'member');
  await run.until(async () => (await source.json('-n', namespace, 'service', SERVICE)) !== undefined);
  await openScene(run).setPolicy(SHORT_POLICY);
  return `${replicas} pods each`;
}

async function removeAll(run: FailoverRun, installations: readonly Installation[]): Promise<void> {
  for (const target of run.targets)
    await run
      .linkspan('unlink', '--apply', `--cluster-name=${target.name}`, ...run.source.flags)
      .catch((error: unknown) => run.say(String(error)));
  for (const installation of installations) {
    await installation.uninstall().catch((error: unknown) => run.say(String(error)));
    await removeWorkloads(run, installation.context);
  }
}
