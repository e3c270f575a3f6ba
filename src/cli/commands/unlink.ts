import { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { DEFAULT_LINKERD_NAMESPACE, DEFAULT_NAMESPACE } from '../../api/names.ts';
import { deleteAll } from '../../manifests/apply.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { planUnlink, readUnlink, type UnlinkRequest } from '../../linking/unlink.ts';
import { applyUnlink } from '../../linking/unlink-apply.ts';
import { clusterFlags, durationFlag, withClient, withClusterFlags } from '../flags/cluster-flags.ts';
import { dnsLabel } from '../flags/link-flags.ts';
import { manifestFormat, manifestText } from '../output/output.ts';
import { Progress } from '../output/terminal.ts';

const schema = z.strictObject({
  ...clusterFlags,
  clusterName: z.string({ error: 'you need to specify cluster name' }),
  namespace: dnsLabel,
  linkerdNamespace: dnsLabel,
  onlyController: z.boolean().default(false),
  apply: z.boolean().default(false),
  wait: durationFlag,
  output: manifestFormat,
});
type Settings = z.output<typeof schema>;

/** `linkspan unlink`: prints, or with `--apply` deletes, what joins this source cluster to a target. */
export function unlinkCommand(): Command {
  const command = new Command('unlink')
    .description(
      'print what links this (source) cluster to a target, for `kubectl delete -f -`, or delete it',
    )
    .option('--cluster-name <name>', 'name of the target cluster (required)')
    .option('--namespace <ns>', 'namespace of the installation: of the Link', DEFAULT_NAMESPACE)
    .option('-L, --linkerd-namespace <ns>', "namespace of Linkerd's control plane", DEFAULT_LINKERD_NAMESPACE)
    .option(
      '--only-controller',
      "only the controller that Linkerd's `link` made for this Link (2.17 and before)",
    )
    .option('--apply', 'delete: the Link, then its mirrors, then its credentials')
    .option('--wait <time>', 'with --apply: how long the controller may take to remove the mirrors', '2m')
    .option('-o, --output <format>', 'yaml or json', 'yaml');
  return withClusterFlags(command, 'source cluster').action(async (flags: unknown) => {
    const settings = parseFlags(schema, flags, 'unlink');
    await withClient(settings, (client) => unlink(client, settings));
  });
}

async function unlink(client: KubeClient, settings: Settings): Promise<void> {
  const request: UnlinkRequest = settings;
  const facts = await readUnlink(client, request);
  const plan = planUnlink(facts, request, (await client.serverTime()) ?? systemClock.now());
  for (const note of plan.notes) process.stderr.write(`linkspan: ${note}\n`);
  if (!settings.apply) {
    const objects = [...plan.link, ...plan.mirrors, ...plan.rest];
    process.stdout.write(manifestText(objects, settings.output));
    return;
  }
  const progress = new Progress();
  try {
    await applyUnlink(request, facts, plan, {
      client,
      remove: async (objects, dryRun) => {
        await deleteAll(client, objects, { dryRun });
      },
      timeoutMs: settings.wait,
      clock: systemClock,
      onProgress: (text) => progress.show(text),
    });
  } finally {
    progress.clear();
  }
  process.stdout.write(
    `Unlinked ${settings.clusterName}: the Link, its mirrors and its credentials are gone\n`,
  );
}
