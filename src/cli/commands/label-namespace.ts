import { Command } from 'commander';
import { EXTENSION_LABELS, EXTENSION_SELECTOR } from '../../api/names.ts';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { namespaces } from '../../api/kubernetes/resource.ts';
import { clusterFlags, withClient, withClusterFlags } from '../flags/cluster-flags.ts';

const schema = z.strictObject(clusterFlags);

/**
 * `linkspan label-namespace NAME`: what the chart's hook runs, since Helm itself makes namespaces without
 * labels. Linkerd's CLI finds the namespace by this one.
 */
export function labelNamespaceCommand(): Command {
  const command = new Command('label-namespace')
    .description("label a namespace as that of the extension (run by the chart's hook)")
    .argument('<name>', 'the namespace');
  return withClusterFlags(command, 'cluster with the namespace').action(
    async (name: string, options: unknown) => {
      await withClient(parseFlags(schema, options, 'label-namespace'), async (client) => {
        const labels = EXTENSION_LABELS;
        await client.patch(namespaces, { name }, { metadata: { name, labels } }, { type: 'merge' });
        process.stdout.write(`namespace/${name} labelled ${EXTENSION_SELECTOR}\n`);
      });
    },
  );
}
