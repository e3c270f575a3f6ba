import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { DEFAULT_NAMESPACE } from '../../api/names.ts';
import type { LinkReport, ServiceReport } from '../../controllers/explain.ts';
import { askControllers, controllerFlags, tellFailures } from '../queries/controller-answers.ts';
import {
  clusterFlags,
  timeoutFlag,
  withClient,
  withClusterFlags,
  withTimeoutFlag,
} from '../flags/cluster-flags.ts';
import { age, outputFlag, render, table } from '../output/output.ts';

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
  const command = new Command('mirrors')
    .description('list what linked clusters export and what became of each Service here')
    .option('-n, --namespace <ns>', 'only Services of this namespace (default: all)')
    .option('--link <name>', 'only this Link')
    .option('--controller-namespace <ns>', 'namespace of the controller and the Links', DEFAULT_NAMESPACE)
    .option('--controller <urls>', "the controllers' admin ports, instead of their pods")
    .option('-o, --output <format>', 'table, json or yaml', 'table');
  return withClusterFlags(withTimeoutFlag(command), 'source').action(async (options: unknown) => {
    const flags = parseFlags(schema, options, 'mirrors');
    await withClient(flags, async (client) => {
      const { answers, failures } = await askControllers<LinkReport>(client, flags, '/mirrors');
      const wanted = mergeReports(answers).filter(
        ({ link }) => flags.link === undefined || link.endsWith(`/${flags.link}`),
      );
      const reports = wanted.map((report) => inNamespace(report, flags.namespace));
      process.stdout.write(render(flags.output, reports, () => mirrorsText(reports)));
      tellFailures(failures);
    });
  });
}

/** Several replicas know a Link; the one that keeps it knows best. */
export function mergeReports(reports: readonly LinkReport[]): LinkReport[] {
  const best = new Map<string, LinkReport>();
  for (const report of reports) {
    const known = best.get(report.link);
    if (known === undefined || (report.mirrors !== undefined && known.mirrors === undefined))
      best.set(report.link, report);
  }
  return [...best.values()].sort((a, b) => (a.link < b.link ? -1 : 1));
}

function inNamespace(report: LinkReport, namespace: string | undefined): LinkReport {
  if (namespace === undefined || report.mirrors === undefined) return report;
  const own = (services: readonly ServiceReport[] | undefined) =>
    (services ?? []).filter(({ service }) => service.startsWith(`${namespace}/`));
  return { ...report, mirrors: own(report.mirrors), federated: own(report.federated) };
}

/** The table, and a line for each Link that has none to show. */
export function mirrorsText(reports: readonly LinkReport[]): string {
  const rows = reports.flatMap((report) =>
    [...(report.mirrors ?? []), ...(report.federated ?? [])].map((mirror) => {
      const [namespace = '', service = ''] = mirror.service.split('/');
      const why = mirror.message === '' ? mirror.reason : `${mirror.reason}: ${mirror.message}`;
      return [namespace, mirror.local, report.cluster, service, mirror.mode, String(mirror.endpoints), why];
    }),
  );
  const head = ['NAMESPACE', 'NAME', 'CLUSTER', 'SERVICE', 'MODE', 'ENDPOINTS', 'REASON'];
  const body = rows.length === 0 ? 'Nothing is exported to this cluster.\n' : table(head, rows);
  return body + reports.flatMap(linkTrouble).join('');
}

function linkTrouble(report: LinkReport): string[] {
  const { link, problem, apiError, lastWordSeconds, mirrors, unwritten = [] } = report;
  const lines = unwritten.map((what) => `Link ${link}: what is known could not be written: ${what}\n`);
  if (problem !== undefined) return [`Link ${link} does not run: ${problem}\n`, ...lines];
  if (mirrors === undefined) return [`Link ${link}: the replica that keeps it did not answer\n`];
  if (apiError === undefined) return lines;
  const heard = lastWordSeconds === undefined ? 'never' : `${age(lastWordSeconds)} ago`;
  const silence = `the target's API server does not answer, last heard of ${heard}: ${apiError}`;
  return [`Link ${link}: ${silence}\n`, ...lines];
}
