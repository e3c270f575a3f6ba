import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { MIRRORS_PAGE } from '../../api/answers/admin-answers.ts';
import { gatewaysText, wideText } from '../output/gateways-text.ts';
import {
  askControllers,
  controllerFlags,
  mergeReports,
  tellFailures,
  tellUnread,
  withControllerFlags,
} from '../queries/controller-answers.ts';
import { clusterFlags, timeoutFlag, withClient, withClusterFlags } from '../flags/cluster-flags.ts';
import { render } from '../output/output.ts';
import { ratesToGateways } from '../traffic/gateway-rates.ts';
import { countMirrors, gatewayRows } from '../queries/gateway-rows.ts';

const schema = z.strictObject({
  ...clusterFlags,
  ...controllerFlags,
  clusterName: z.string().optional(),
  wait: timeoutFlag,
  output: z.enum(['table', 'wide', 'json', 'yaml'], { error: 'must be table, wide, json or yaml' }),
});

/** `linkspan gateways`: the gateways of linked clusters and whether they answer. */
export function gatewaysCommand(): Command {
  const command = withControllerFlags(
    new Command('gateways')
      .description('list the gateways of linked clusters, and whether they answer their probes')
      .option('--cluster-name <name>', 'only this cluster')
      .option('-w, --wait <time>', 'how long to wait for the API server and the controllers', '30s'),
  ).option('-o, --output <format>', 'table, wide (with each address), json or yaml', 'table');
  return withClusterFlags(command, 'source cluster').action(async (options: unknown) => {
    const parsed = parseFlags(schema, options, 'gateways');
    const flags = { ...parsed, timeout: parsed.wait };
    await withClient(flags, async (client) => {
      const wide = flags.output === 'wide';
      const [{ answers, failures }, counts, traffic] = await Promise.all([
        askControllers(client, flags, MIRRORS_PAGE),
        countMirrors(client),
        wide ? ratesToGateways(client, flags.controllerNamespace, flags.timeout) : undefined,
      ]);
      const reports = mergeReports(answers).filter(
        ({ cluster, gateway }) =>
          gateway !== undefined && (flags.clusterName === undefined || cluster === flags.clusterName),
      );
      const rows = gatewayRows(reports, counts);
      const text = () => (wide ? wideText(reports, rows, traffic?.rates) : gatewaysText(rows));
      process.stdout.write(render(flags.output === 'wide' ? 'table' : flags.output, rows, text));
      tellFailures(failures);
      tellUnread(traffic?.unread);
    });
  });
}
