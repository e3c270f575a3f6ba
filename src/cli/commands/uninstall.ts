import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { DEFAULT_NAMESPACE } from '../../api/names.ts';
import { planUninstall, readUninstall, weightsStay } from '../../install/uninstall.ts';
import { putBackWeights } from '../../install/written-weights.ts';
import { deleteAll } from '../../manifests/apply.ts';
import { isForbidden, type KubeClient } from '../../kube/client/kube-client.ts';
import { stubOf, titleOf } from '../../manifests/manifests.ts';
import { clusterFlags, durationFlag, withClient, withClusterFlags } from '../flags/cluster-flags.ts';
import { dnsLabel } from '../flags/link-flags.ts';
import { manifestFormat, manifestText } from '../output/output.ts';
import { Progress } from '../output/terminal.ts';

const schema = z.strictObject({
  ...clusterFlags,
  namespace: dnsLabel,
  crds: z.boolean().default(false),
  apply: z.boolean().default(false),
  force: z.boolean().default(false),
  wait: durationFlag,
  output: manifestFormat,
});
type Settings = z.output<typeof schema>;

/** `linkspan uninstall`: prints stubs of what is installed, for `kubectl delete -f -`, or deletes it. */
export function uninstallCommand(): Command {
  return withClusterFlags(
    new Command('uninstall').description('uninstall Linkspan: print what to delete, or --apply'),
    'cluster to uninstall from',
  )
    .option('-n, --namespace <ns>', 'namespace of the installation', DEFAULT_NAMESPACE)
    .option('--crds', 'delete the Link CRD too')
    .option('--apply', 'delete it, and wait until it is gone')
    .option('--force', 'uninstall while clusters are linked too, and what Helm has installed')
    .option('--wait <time>', 'with --apply: time for everything to go', '5m')
    .option('-o, --output <format>', 'yaml or json', 'yaml')
    .action(async (options: unknown) => {
      const flags = parseFlags(schema, options, 'uninstall');
      await withClient(flags, (client) => uninstall(client, flags));
    });
}

async function uninstall(client: KubeClient, flags: Settings): Promise<void> {
  const facts = await readUninstall(client, flags.namespace).catch(rightsMissing);
  const { objects, notes } = planUninstall(facts, flags);
  if (facts.installed.unseen.length > 0)
    throw new LinkspanError('RIGHTS_MISSING', `you may not list ${facts.installed.unseen.join(', ')}`);
  for (const note of notes) process.stderr.write(`linkspan: ${note}\n`);
  if (objects.length === 0) process.stderr.write('linkspan: nothing of Linkspan is installed\n');
  if (objects.length === 0 && !flags.apply) return;
  if (!flags.apply) {
    process.stdout.write(manifestText(objects.map(stubOf), flags.output));
    return;
  }
  const progress = new Progress();
  try {
    await deleteAll(client, objects, {
      dryRun: false,
      waitMs: flags.wait,
      onDeleted: (object) => process.stdout.write(`${titleOf(object)} deleted\n`),
      onWaiting: (left) => progress.show(`waiting until they are gone: ${left.map(titleOf).join(', ')}`),
    });
  } finally {
    progress.clear();
  }
  // Now nobody writes over it: the controller is gone, and its rights.
  const refused = await putBackWeights(client, facts.weighted, (object) =>
    process.stdout.write(`${titleOf(object)} has the weights of its author again\n`),
  );
  if (refused.length > 0) throw weightsStay(refused);
}

function rightsMissing(error: unknown): never {
  if (!isForbidden(error)) throw error;
  throw new LinkspanError('RIGHTS_MISSING', `you may not see what is installed: ${error.answer}`, {
    cause: error,
  });
}
