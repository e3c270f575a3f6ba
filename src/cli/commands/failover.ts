import { Argument, Command } from 'commander';
import { z } from 'zod';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { DEFAULT_NAMESPACE } from '../../api/names.ts';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import {
  clusterFlags,
  listFlag,
  timeoutFlag,
  withClient,
  withClusterFlags,
  withTimeoutFlag,
} from '../flags/cluster-flags.ts';
import { failoverText, networkText, planText } from '../output/failover-text.ts';
import { outputFlag, render } from '../output/output.ts';
import { tellUnread } from '../queries/controller-answers.ts';
import { failoverRows, readAllFailover, unknownMembers } from '../queries/failover-rows.ts';

const schema = z
  .strictObject({
    ...clusterFlags,
    what: z.literal('plan').optional(),
    namespace: z.string().min(1).optional(),
    controllerNamespace: z.string(),
    without: listFlag,
    timeout: timeoutFlag,
    output: outputFlag,
  })
  .refine(({ what, without }) => what === undefined || without.length > 0, {
    message: 'plan needs --without, with a cluster or `local`',
  })
  .refine(({ what, without }) => what !== undefined || without.length === 0, {
    message: '--without goes with plan',
  });

/**
 * `linkspan failover`: who gets how much of each federated Service, and why, from the facts that are
 * published in the cluster. Nobody is asked: it works with all controllers dead. `plan`: the same if clusters
 * were gone.
 */
export function failoverCommand(): Command {
  const command = new Command('failover')
    .description(
      'show who serves each federated Service, and each that leads elsewhere, with which share and why',
    )
    .addArgument(
      new Argument('[what]', 'plan: what if the clusters of --without were gone').choices(['plan']),
    )
    .option('-n, --namespace <ns>', 'only in this namespace')
    .option('--without <clusters>', 'with plan: clusters that are gone (with commas); `local` is this one')
    .option('--controller-namespace <ns>', 'namespace of the installation: of the Links', DEFAULT_NAMESPACE)
    .option('-o, --output <format>', 'table, json or yaml', 'table');
  return withClusterFlags(withTimeoutFlag(command), 'source cluster').action(
    async (what: string | undefined, options: object) => {
      const parsed = parseFlags(schema, { ...options, what }, 'failover');
      const { namespace, controllerNamespace, output, without } = parsed;
      await withClient(parsed, async (client) => {
        const objects = await readAllFailover(client, namespace, controllerNamespace);
        tellUnread(objects.unread);
        // Facts are of the cluster's time, not of this machine's.
        const now = (await client.serverTime()) ?? systemClock.now();
        const before = failoverRows(objects, now);
        if (parsed.what === undefined) {
          const table = () => networkText(objects.links) + failoverText(before, now);
          process.stdout.write(render(output, before, table));
          return;
        }
        const unknown = unknownMembers(objects, without);
        if (unknown.length > 0)
          throw new LinkspanError(
            'USAGE',
            `--without: no Link and no member is called ${unknown.join(', ')}`,
          );
        const after = failoverRows(objects, now, new Set(without));
        const text = () => planText(before, after, { without, now });
        process.stdout.write(render(output, { before, after }, text));
      });
    },
  );
}
