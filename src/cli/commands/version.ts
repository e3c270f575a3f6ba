import { CHART_SELECTOR, installedVersion, linkerdComponentOf } from '../../api/installed-labels.ts';
import { Command } from 'commander';
import { DEFAULT_NAMESPACE } from '../../api/names.ts';
import { LINK_CRD } from '../../api/link/link-schema.ts';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { codeOf, messageOf } from '../../api/errors/linkspan-error.ts';
import { readVersion } from '../../base/version.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { customResourceDefinitions, deployments } from '../../api/kubernetes/resource.ts';
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
  namespace: z.string(),
  client: z.boolean().default(false),
  short: z.boolean().default(false),
  timeout: timeoutFlag,
  output: outputFlag,
});

/** Versions, for programs. */
export interface Versions {
  readonly client: string;
  /**
   * By component of the pods' image: controller, gateway, egress; and the Link CRD's stored version. Absent
   * with `--client`.
   */
  readonly server?: Readonly<Record<string, string>>;
  /** Why the server's are not known. */
  readonly problem?: string;
}

/** `linkspan version` */
export function versionCommand(): Command {
  const command = new Command('version')
    .description('print the versions of this program and of what runs in the cluster')
    .option('-n, --namespace <ns>', 'namespace of the installation', DEFAULT_NAMESPACE)
    .option('--client', 'only that of this program; asks no cluster')
    .option('--short', 'only the numbers')
    .option('-o, --output <format>', 'table, json or yaml', 'table');
  return withClusterFlags(withTimeoutFlag(command, '10s'), 'cluster to ask').action(
    async (options: unknown) => {
      const flags = parseFlags(schema, options, 'version');
      const versions = flags.client ? { client: readVersion() } : await gather(flags);
      process.stdout.write(render(flags.output, versions, () => versionText(versions, flags.short)));
    },
  );
}

async function gather(flags: z.output<typeof schema>): Promise<Versions> {
  const client = readVersion();
  try {
    return { client, server: await withClient(flags, (api) => serverVersions(api, flags.namespace)) };
  } catch (error) {
    if (codeOf(error) === 'CONFIG_INVALID') throw error;
    // The program's own version is shown without a cluster too.
    return { client, problem: messageOf(error) };
  }
}

async function serverVersions(client: KubeClient, namespace: string): Promise<Record<string, string>> {
  const labelSelector = CHART_SELECTOR;
  const { items } = await client.list(deployments, { namespace, labelSelector });
  const found = items.map((item): [string, string] => [
    linkerdComponentOf(item) ?? item.metadata?.name ?? '',
    installedVersion(item) ?? 'unknown',
  ]);
  const crd = await client
    .get(customResourceDefinitions, { name: LINK_CRD })
    .then(({ spec }) => spec?.versions.find(({ storage }) => storage)?.name ?? 'unknown')
    .catch(() => 'not installed, or not to be read');
  return Object.fromEntries([...found, ['link-crd', crd]]);
}

/** Linkerd's two lines, and one for each part. */
export function versionText({ client, server, problem }: Versions, short: boolean): string {
  if (short) return `${[client, ...Object.values(server ?? {})].join('\n')}\n`;
  const lines = [`Client version: linkspan ${client}`];
  if (problem !== undefined) lines.push(`Server version: unavailable (${problem})`);
  for (const [part, version] of Object.entries(server ?? {})) lines.push(`${part}: ${version}`);
  return `${lines.join('\n')}\n`;
}
