import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { DEFAULT_NAMESPACE } from '../../api/names.ts';
import { linksText, wideLinksText } from '../output/links-text.ts';
import { controllerFlags, tellFailures } from '../queries/controller-answers.ts';
import {
  clusterFlags,
  timeoutFlag,
  withClient,
  withClusterFlags,
  withTimeoutFlag,
} from '../flags/cluster-flags.ts';
import { render } from '../output/output.ts';
import { gatherLinks } from '../queries/link-rows.ts';

const schema = z.strictObject({
  ...clusterFlags,
  controller: controllerFlags.controller,
  namespace: z.string(),
  timeout: timeoutFlag,
  output: z.enum(['table', 'wide', 'json', 'yaml'], { error: 'must be table, wide, json or yaml' }),
});

/**
 * `linkspan links`: every Link and how it is. The table asks the API server only, and all of it works when no
 * controller runs.
 */
export function linksCommand(): Command {
  const command = new Command('links')
    .description('list the Links of this (source) cluster and how each is')
    .option('-n, --namespace <ns>', 'namespace of the installation: of the Links', DEFAULT_NAMESPACE)
    .option('--controller <urls>', "the controllers' admin ports, instead of their pods")
    .option('-o, --output <format>', 'table, wide (with what only controllers know), json or yaml', 'table');
  return withClusterFlags(withTimeoutFlag(command), 'source cluster').action(async (options: unknown) => {
    const flags = parseFlags(schema, options, 'links');
    const { output } = flags;
    const where = { ...flags, controllerNamespace: flags.namespace };
    const { rows, failures } = await withClient(flags, (client) =>
      gatherLinks(client, where, output !== 'table'),
    );
    const text = () => (output === 'wide' ? wideLinksText(rows) : linksText(rows));
    process.stdout.write(render(output === 'wide' ? 'table' : output, rows, text));
    tellFailures(failures);
  });
}
