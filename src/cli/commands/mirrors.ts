import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { type LinkReport, type ServiceReport, MIRRORS_PAGE } from '../../api/answers/admin-answers.ts';
import { mirrorsText } from '../output/mirrors-text.ts';
import {
  askControllers,
  controllerFlags,
  mergeReports,
  tellFailures,
  withControllerFlags,
} from '../queries/controller-answers.ts';
import {
  clusterFlags,
  timeoutFlag,
  withClient,
  withClusterFlags,
  withTimeoutFlag,
} from '../flags/cluster-flags.ts';
import { outputFlag, render } from '../output/output.ts';

const schema = z.strictObject({
  ...clusterFlags,
  ...controllerFlags,
  namespace: z.string().optional(),
  link: z.string().optional(),
  timeout: timeoutFlag,
  output: outputFlag,
});

/** `linkspan mirrors`: every exported Service of every linked cluster and what became of it. */
export function mirrorsCommand(): Command {
  const command = withControllerFlags(
    new Command('mirrors')
      .description('list what linked clusters export and what became of each Service here')
      .option('-n, --namespace <ns>', 'only Services of this namespace (default: all)')
      .option('--link <name>', 'only this Link'),
  ).option('-o, --output <format>', 'table, json or yaml', 'table');
  return withClusterFlags(withTimeoutFlag(command), 'source cluster').action(async (options: unknown) => {
    const flags = parseFlags(schema, options, 'mirrors');
    await withClient(flags, async (client) => {
      const { answers, failures } = await askControllers(client, flags, MIRRORS_PAGE);
      const wanted = mergeReports(answers).filter(
        ({ link }) => flags.link === undefined || link.endsWith(`/${flags.link}`),
      );
      const reports = wanted.map((report) => inNamespace(report, flags.namespace));
      process.stdout.write(render(flags.output, reports, () => mirrorsText(reports)));
      tellFailures(failures);
    });
  });
}

function inNamespace(report: LinkReport, namespace: string | undefined): LinkReport {
  if (namespace === undefined || report.mirrors === undefined) return report;
  const own = (services: readonly ServiceReport[] | undefined) =>
    (services ?? []).filter(({ service }) => service.startsWith(`${namespace}/`));
  return { ...report, mirrors: own(report.mirrors), federated: own(report.federated) };
}
