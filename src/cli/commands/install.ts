import { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { CLI_MANAGER } from '../../api/names.ts';
import { OLDEST_KUBERNETES } from '../../install/charts.ts';
import { findInstalled, prunable } from '../../install/installed-objects.ts';
import { type InstallRequest, prepareInstall, type PreparedInstall } from '../../install/prepare-install.ts';
import { awaitReady } from '../../install/ready.ts';
import { renderCrds } from '../../install/render-chart.ts';
import { type Applied, applyAll, deleteAll } from '../../manifests/apply.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { titleOf } from '../../manifests/manifests.ts';
import type { KubeObject } from '../../api/kubernetes/resource.ts';
import { withClient } from '../flags/cluster-flags.ts';
import {
  installFlags,
  installRequest,
  type InstallSettings,
  withInstallFlags,
} from '../flags/install-flags.ts';
import { manifestText } from '../output/output.ts';
import { Progress } from '../output/terminal.ts';

const installSchema = z.strictObject({
  ...installFlags,
  crds: z.boolean().default(false),
  ignoreCluster: z.boolean().default(false),
});
const upgradeSchema = z.strictObject({ ...installFlags, crds: z.boolean().default(false) });

/** `linkspan install`: prints what makes a cluster part of a multicluster, or applies it. */
export function installCommand(): Command {
  return withInstallFlags(
    new Command('install').description('install Linkspan: print its manifests, or --apply them'),
  )
    .option('--crds', 'print or apply the CRD alone')
    .option('--ignore-cluster', 'do not look at the cluster: what is there, and whether Linkerd is')
    .action(async (options: unknown) => {
      const flags = parseFlags(installSchema, options, 'install');
      if (flags.ignoreCluster && flags.apply)
        throw new LinkspanError('CONFIG_INVALID', 'install: --apply and --ignore-cluster exclude each other');
      const request = await installRequest('install', flags);
      if (flags.ignoreCluster) await print(undefined, request, flags);
      else await withClient(flags, (client) => run(client, request, flags));
    });
}

/** `linkspan upgrade`: the same with the values of the last install or upgrade. */
export function upgradeCommand(): Command {
  return withInstallFlags(
    new Command('upgrade').description('upgrade Linkspan, with the values that it was installed with'),
  )
    .option('--crds', 'print or apply the CRD alone')
    .action(async (options: unknown) => {
      const flags = parseFlags(upgradeSchema, options, 'upgrade');
      const request = await installRequest('upgrade', flags);
      await withClient(flags, (client) => run(client, request, flags));
    });
}

type Settings = InstallSettings & { readonly crds: boolean };

async function run(client: KubeClient, request: InstallRequest, flags: Settings): Promise<void> {
  if (!flags.apply) return print(client, request, flags);
  if (flags.crds) {
    const objects = await crdsOf(request);
    await write(client, objects, flags);
    return;
  }
  const prepared = await prepareInstall(client, request);
  for (const note of prepared.notes) say(note);
  const applied = await write(client, prepared.objects, flags);
  if (request.verb === 'upgrade') await removeLeftovers(client, prepared, request.namespace);
  await ready(client, request, flags);
  process.stdout.write(`${summary(applied, prepared, request)}\n`);
}

async function print(
  client: KubeClient | undefined,
  request: InstallRequest,
  flags: Settings,
): Promise<void> {
  if (flags.crds) {
    process.stdout.write(manifestText(await crdsOf(request), flags.output));
    return;
  }
  const prepared = await prepareInstall(client, request);
  for (const note of prepared.notes) say(note);
  if (client !== undefined && request.verb === 'upgrade') {
    const old = await findLeftovers(client, prepared, request.namespace);
    if (old.length > 0)
      say(`no longer needed, and deleted by upgrade --apply: ${old.map(titleOf).join(', ')}`);
  }
  process.stdout.write(manifestText(prepared.objects, flags.output));
}

function crdsOf({ helm, namespace }: InstallRequest): Promise<KubeObject[]> {
  return renderCrds({ helm, namespace, kubernetes: OLDEST_KUBERNETES });
}

async function write(
  client: KubeClient,
  objects: readonly KubeObject[],
  flags: Settings,
): Promise<Applied[]> {
  return applyAll(client, objects, {
    fieldManager: CLI_MANAGER,
    dryRun: false,
    force: flags.force,
    onWarning: (text) => say(`the API server warns: ${text}`),
    onApplied: (object, what) => process.stdout.write(`${titleOf(object)} ${what}\n`),
  });
}

async function findLeftovers(
  client: KubeClient,
  { objects }: PreparedInstall,
  namespace: string,
): Promise<KubeObject[]> {
  const { objects: installed } = await findInstalled(client);
  return prunable(installed, objects, namespace);
}

async function removeLeftovers(
  client: KubeClient,
  prepared: PreparedInstall,
  namespace: string,
): Promise<void> {
  const old = await findLeftovers(client, prepared, namespace);
  await deleteAll(client, old, {
    dryRun: false,
    onDeleted: (object) => process.stdout.write(`${titleOf(object)} deleted (no longer needed)\n`),
  });
}

async function ready(client: KubeClient, { namespace }: InstallRequest, flags: Settings): Promise<void> {
  const progress = new Progress();
  try {
    await awaitReady(client, {
      namespace,
      timeoutMs: flags.wait,
      clock: systemClock,
      onWaiting: (text) => progress.show(text),
    });
  } finally {
    progress.clear();
  }
}

/** One line about what was done. */
function summary(applied: readonly Applied[], prepared: PreparedInstall, request: InstallRequest): string {
  const where = `Linkspan ${request.version} in ${request.namespace}`;
  if (request.verb === 'upgrade') return `${where}: upgraded`;
  const created = applied.filter(({ what }) => what === 'created').length;
  if (!prepared.before) return `${where}: installed`;
  return created === 0
    ? `${where}: was installed already`
    : `${where}: the installation was there in part and is complete now (${created} of ${applied.length} objects were missing)`;
}

function say(text: string): void {
  process.stderr.write(`linkspan: ${text}\n`);
}
