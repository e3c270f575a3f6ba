import { Command, Option } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { titleOf } from '../../manifests/manifests.ts';
import { keyOf } from '../../api/kubernetes/resource.ts';
import { applyLink, prepareLink, type LinkDirection, type PreparedLink } from '../../linking/link-apply.ts';
import type { Cluster } from '../../linking/link-request.ts';
import { waitUntilSynced } from '../../linking/wait-synced.ts';
import {
  clusterFlags,
  durationFlag,
  listFlag,
  openCluster,
  withClusterFlags,
} from '../flags/cluster-flags.ts';
import {
  boolFlag,
  clusterNameFlag,
  gatewayNotes,
  linkFlags,
  linkRequest,
  linkWarnings,
  portFlag,
  refuseRenewedDestination,
  urlFlag,
  withLinkFlags,
  type LinkSettings,
} from '../flags/link-flags.ts';
import { manifestFormat, manifestText } from '../output/output.ts';
import { Progress, toned } from '../output/terminal.ts';

/**
 * Flags of Linkerd's `link` that set up its controller, which is a Deployment of the chart here: taken and
 * ignored, so that scripts go on working.
 */
const IGNORED = {
  controlPlaneVersion: '--control-plane-version <version>',
  serviceMirrorRetryLimit: '--service-mirror-retry-limit <n>',
  logLevel: '--log-level <level>',
  logFormat: '--log-format <format>',
  registry: '--registry <registry>',
  ha: '--ha',
} as const;
const ignored = z.union([z.string(), z.boolean()]).optional();

const schema = z.strictObject({
  ...clusterFlags,
  ...linkFlags,
  sourceKubeconfig: z.string().optional(),
  sourceContext: z.string().optional(),
  mutual: z.boolean().default(false),
  sourceClusterName: clusterNameFlag.optional(),
  sourceApiServerAddress: urlFlag,
  sourceGateway: boolFlag,
  sourceGatewayAddresses: listFlag,
  sourceGatewayPort: portFlag,
  destinationCredentials: z.boolean().optional(),
  rebuilt: z.boolean().default(false),
  force: z.boolean().default(false),
  wait: durationFlag,
  dryRun: z.boolean().default(false),
  output: manifestFormat,
  ...(Object.fromEntries(Object.keys(IGNORED).map((key) => [key, ignored])) as Record<
    keyof typeof IGNORED,
    typeof ignored
  >),
});
type Settings = z.output<typeof schema>;

/**
 * `linkspan link`: joins two clusters: applies in the source what `link-gen` prints for the target, and waits
 * until it works.
 */
export function linkCommand(): Command {
  const command = new Command('link').description(
    'link a target cluster (--context) into a source cluster (--source-context): apply the Secrets and the Link there, and wait until mirrors are complete',
  );
  withLinkFlags(withClusterFlags(command, 'target cluster'))
    .option('--source-context <name>', 'context of the source cluster')
    .option('--source-kubeconfig <file>', 'kubeconfig of the source cluster (default: --kubeconfig)')
    .option('--mutual', 'link both ways; needs --source-cluster-name')
    .option('--source-cluster-name <name>', 'name of the source cluster, with --mutual')
    .option(
      '--source-api-server-address <url>',
      "the source's API server as the target reaches it, with --mutual",
    )
    .option('--source-gateway [bool]', 'whether the source has a gateway, with --mutual', true)
    .option(
      '--source-gateway-addresses <list>',
      "addresses of the source's gateway, instead of its Service's, with --mutual",
    )
    .option(
      '--source-gateway-port <port>',
      "port of the source's gateway, instead of its Service's, with --mutual",
    )
    .option(
      '--destination-credentials',
      "give the target's credentials to the source's Linkerd control plane too (default: where there is one)",
    )
    .option(
      '--no-destination-credentials',
      "do not give the target's credentials to the source's Linkerd control plane",
    )
    .option('--rebuilt', 'the target was rebuilt: --cluster-name stands for another cluster from now on')
    .option('--force', 'take over a Link that neither Linkspan nor Linkerd wrote')
    .option('--wait <time>', 'how long to wait until the Link is synced; 0: not at all', '2m')
    .option('--dry-run', 'check everything, apply nothing and print what would be applied')
    .option('-o, --output <format>', 'what --dry-run prints: yaml or json', 'yaml');
  for (const flag of Object.values(IGNORED)) command.addOption(new Option(flag).hideHelp());
  return command.action((flags: unknown) => link(parseFlags(schema, flags, 'link')));
}

async function link(settings: Settings): Promise<void> {
  checkFlags(settings);
  const deps = { clock: systemClock, random: Math.random };
  const { sourceKubeconfig, sourceContext } = settings;
  const target = openCluster(settings);
  const source = openCluster({
    ...settings,
    kubeconfig: sourceKubeconfig ?? settings.kubeconfig,
    context: sourceContext,
    // These flags describe the target.
    apiAddr: undefined,
  });
  warn([target, source].flatMap(({ access }) => linkWarnings(access)));
  const progress = new Progress();
  try {
    const prepared: PreparedLink[] = [];
    for (const direction of directions(settings, target, source)) {
      progress.show('reading both clusters');
      prepared.push(await prepareLink(direction, deps));
    }
    // Every object of every direction is validated by the API server before the first write.
    for (const one of prepared) await applyLink(one, true);
    warn(prepared.flatMap(({ manifests }) => gatewayNotes(manifests)));
    progress.clear();
    if (settings.dryRun) {
      for (const { manifests } of prepared) process.stdout.write(manifestText(manifests, settings.output));
      return;
    }
    for (const one of prepared)
      for (const { object, what } of await applyLink(one, false))
        process.stdout.write(`${titleOf(object)} ${what} at ${one.direction.source.access.server}\n`);
    if (settings.wait > 0) for (const one of prepared) await waitFor(one, settings.wait, progress);
  } finally {
    progress.clear();
    await Promise.all([target.client.close(), source.client.close()]);
  }
}

function warn(lines: readonly string[]): void {
  for (const line of lines) process.stderr.write(`linkspan: ${line}\n`);
}

function checkFlags(settings: Settings): void {
  const invalid = (what: string) => new LinkspanError('CONFIG_INVALID', `link: ${what}`);
  if (settings.sourceContext === undefined && settings.sourceKubeconfig === undefined)
    throw new LinkspanError('CONFIG_INVALID', 'link: which cluster is the source?', {
      hint: 'Name it with --source-context or --source-kubeconfig; to print for `kubectl apply -f -`, use `linkspan link-gen`.',
    });
  if (settings.mutual && settings.sourceClusterName === undefined)
    throw invalid('--mutual needs --source-cluster-name, the name of the source cluster');
  if (settings.mutual && settings.sourceClusterName === settings.clusterName)
    throw new LinkspanError(
      'CLUSTER_NAME_TAKEN',
      `--cluster-name and --source-cluster-name are both "${settings.clusterName}"`,
      { hint: 'Give each cluster a name of its own.' },
    );
  for (const [key, flag] of Object.entries(IGNORED)) {
    if (settings[key as keyof typeof IGNORED] === undefined) continue;
    const name = flag.split(' ', 1)[0] ?? '';
    process.stderr.write(
      `linkspan: ${name} is ignored: one controller serves all Links, and \`linkspan install\` sets it up\n`,
    );
  }
}

/** The requested directions: from target into source, and with --mutual the reverse too. */
function directions(settings: Settings, target: Cluster, source: Cluster): LinkDirection[] {
  const { rebuilt, force, mutual, destinationCredentials } = settings;
  const requestFor = (flags: LinkSettings) => (linkerdInSource: boolean) => {
    const destination = destinationCredentials ?? linkerdInSource;
    refuseRenewedDestination(flags.tokenTtl, destination);
    return linkRequest(flags, destination);
  };
  const there: LinkDirection = { target, source, request: requestFor(settings), rebuilt, force };
  if (!mutual) return [there];
  const back: LinkSettings = {
    ...settings,
    clusterName: settings.sourceClusterName ?? '',
    apiServerAddress: settings.sourceApiServerAddress,
    gateway: settings.sourceGateway,
    gatewayAddresses: settings.sourceGatewayAddresses,
    gatewayPort: settings.sourceGatewayPort,
    // The domain flags describe the target only.
    clusterDomain: undefined,
    trustDomain: settings.trustDomain,
  };
  return [there, { target: source, source: target, request: requestFor(back), rebuilt, force }];
}

async function waitFor(
  { direction, ref, replacesCredentials }: PreparedLink,
  timeoutMs: number,
  progress: Progress,
): Promise<void> {
  const { client } = direction.source;
  const onProgress = (text: string) => progress.show(text);
  try {
    const state = await waitUntilSynced({
      client,
      ref,
      timeoutMs,
      replacesCredentials,
      clock: systemClock,
      onProgress,
    });
    progress.clear();
    const mirrors = state.mirrors === 1 ? '1 mirror' : `${state.mirrors} mirrors`;
    process.stdout.write(`Link ${keyOf(ref)} is ${toned('green', 'synced')}: ${mirrors}\n`);
    for (const trouble of state.trouble) process.stderr.write(`linkspan: ${trouble}\n`);
  } finally {
    progress.clear();
  }
}
