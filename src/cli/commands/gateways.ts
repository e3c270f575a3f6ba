import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { CLUSTER_NAME_LABEL, DEFAULT_NAMESPACE, MIRRORED_SERVICE_LABEL } from '../../api/names.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { services } from '../../kube/objects/resource.ts';
import type { LinkReport } from '../../controllers/explain.ts';
import { askControllers, controllerFlags, tellFailures } from '../queries/controller-answers.ts';
import { clusterFlags, timeoutFlag, withClient, withClusterFlags } from '../flags/cluster-flags.ts';
import { mergeReports } from './mirrors.ts';
import { render, table } from '../output/output.ts';

const schema = z.strictObject({
  ...clusterFlags,
  ...controllerFlags,
  clusterName: z.string().optional(),
  wait: timeoutFlag,
  output: z.enum(['table', 'wide', 'json', 'yaml'], { error: 'must be table, wide, json or yaml' }),
});

/** One gateway, with the keys of `linkerd multicluster gateways -o json`. */
export interface GatewayRow {
  readonly clusterName: string;
  readonly alive: boolean;
  /** Mirrors of that cluster, flat ones and endpoint mirrors among them, as Linkerd counts. */
  readonly numberOfServices: number;
  /** Milliseconds of the last probe of the fastest address that is alive; 0 for a dead gateway. */
  readonly latency: number;
}

/** `linkspan gateways`: the gateways of linked clusters and whether they answer. */
export function gatewaysCommand(): Command {
  const command = new Command('gateways')
    .description('list the gateways of linked clusters, and whether they answer their probes')
    .option('--cluster-name <name>', 'only this cluster')
    .option('-w, --wait <time>', 'how long to wait for the API server and the controllers', '30s')
    .option('--controller-namespace <ns>', 'namespace of the controller and the Links', DEFAULT_NAMESPACE)
    .option('--controller <urls>', "the controllers' admin ports, instead of their pods")
    .option('-o, --output <format>', 'table, wide (with each address), json or yaml', 'table');
  return withClusterFlags(command, 'source').action(async (options: unknown) => {
    const parsed = parseFlags(schema, options, 'gateways');
    const flags = { ...parsed, timeout: parsed.wait };
    await withClient(flags, async (client) => {
      const [{ answers, failures }, counts] = await Promise.all([
        askControllers<LinkReport>(client, flags, '/mirrors'),
        countMirrors(client),
      ]);
      const reports = mergeReports(answers).filter(
        ({ cluster, gateway }) =>
          gateway !== undefined && (flags.clusterName === undefined || cluster === flags.clusterName),
      );
      const rows = gatewayRows(reports, counts);
      const text = () => (flags.output === 'wide' ? wideText(reports, rows) : gatewaysText(rows));
      process.stdout.write(render(flags.output === 'wide' ? 'table' : flags.output, rows, text));
      tellFailures(failures);
    });
  });
}

/** Services of this cluster that are mirrors, by target cluster. */
async function countMirrors(client: KubeClient): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  const { items } = await client.list(services, { labelSelector: `${MIRRORED_SERVICE_LABEL}=true` });
  for (const { metadata } of items) {
    const cluster = metadata?.labels?.[CLUSTER_NAME_LABEL];
    if (cluster !== undefined) counts.set(cluster, (counts.get(cluster) ?? 0) + 1);
  }
  return counts;
}

/** Sorted by cluster, as Linkerd's. */
export function gatewayRows(
  reports: readonly LinkReport[],
  mirrors: ReadonlyMap<string, number>,
): GatewayRow[] {
  return reports
    .map(({ cluster, gateway }) => {
      const latencies = (gateway?.addresses ?? [])
        .filter(({ state }) => state === 'alive')
        .map(({ latencyMs }) => latencyMs ?? 0);
      const alive = gateway?.path === 'alive';
      return {
        clusterName: cluster,
        alive,
        numberOfServices: mirrors.get(cluster) ?? 0,
        latency: alive && latencies.length > 0 ? Math.round(Math.min(...latencies)) : 0,
      };
    })
    .sort((a, b) => (a.clusterName < b.clusterName ? -1 : 1));
}

/** Linkerd's table: tools read it. */
export function gatewaysText(rows: readonly GatewayRow[]): string {
  if (rows.length === 0) return 'No linked cluster has a gateway.\n';
  return table(
    ['CLUSTER', 'ALIVE', 'NUM_SVC', 'LATENCY'],
    rows.map(({ clusterName, alive, numberOfServices, latency }) => [
      clusterName,
      alive ? 'True' : 'False',
      String(numberOfServices),
      alive ? `${latency}ms` : '-',
    ]),
  );
}

/** A line for each address, with why it does not answer. */
export function wideText(reports: readonly LinkReport[], rows: readonly GatewayRow[]): string {
  const lines = reports.flatMap(({ cluster, gateway }) =>
    (gateway?.addresses ?? []).map(({ address, state, latencyMs, reason, message }) => {
      const mirrors = rows.find(({ clusterName }) => clusterName === cluster)?.numberOfServices ?? 0;
      const latency = state === 'alive' && latencyMs !== undefined ? `${latencyMs.toFixed(1)}ms` : '-';
      const why = state === 'alive' || reason === undefined ? '' : `${reason}: ${message}`;
      return [cluster, gateway?.path ?? '', String(mirrors), address, state, latency, why];
    }),
  );
  if (lines.length === 0) return gatewaysText(rows);
  return table(['CLUSTER', 'GATEWAY', 'NUM_SVC', 'ADDRESS', 'STATE', 'LATENCY', 'REASON'], lines);
}
