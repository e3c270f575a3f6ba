import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../../base/config.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { CLI_MANAGER, DEFAULT_NAMESPACE } from '../../api/names.ts';
import { applyAll, deleteAll } from '../../manifests/apply.ts';
import { titleOf } from '../../manifests/manifests.ts';
import { assertNewAccount, formerRights } from '../../linking/allow.ts';
import { remoteAccessManifests } from '../../linking/remote-access.ts';
import { clusterFlags, namespacesFlag, withClient, withClusterFlags } from '../flags/cluster-flags.ts';
import { dnsLabel, tokenTtlFlag } from '../flags/link-flags.ts';
import { manifestFormat, manifestText } from '../output/output.ts';
import { readVersion } from '../../base/version.ts';

const schema = z.strictObject({
  ...clusterFlags,
  namespace: dnsLabel,
  serviceAccountName: z
    .string({ error: 'you need to specify a service account name' })
    .regex(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, { error: 'must be a DNS name' }),
  linkerd: z.boolean().default(false),
  namespaces: namespacesFlag,
  tokenTtl: tokenTtlFlag,
  ignoreCluster: z.boolean().default(false),
  apply: z.boolean().default(false),
  output: manifestFormat,
});

/** `linkspan allow`: an account of its own for one more source cluster. */
export function allowCommand(): Command {
  const command = new Command('allow')
    .description(
      'print an account by which one more source cluster may read the exports of this (target) cluster',
    )
    .option('--service-account-name <name>', 'name of the account: one for each source cluster (required)')
    .option('--namespace <ns>', 'namespace of the installation: of the account', DEFAULT_NAMESPACE)
    .option(
      '--linkerd',
      'allow what Linkerd in the source reads too: pods for flat mirrors, its configuration for `linkerd mc check`',
    )
    .option(
      '--namespaces <list>',
      'namespaces that the account may read beside its own, with a Role in each, instead of all; the Link says so. Not for Linkerd, which reads all',
    )
    .option(
      '--token-ttl <time>',
      'tokens of limited life that the account renews for itself, instead of a Secret with one that never ends',
    )
    .option(
      '--ignore-cluster',
      'do not look whether the account exists already; with --apply, take back what it had by an earlier `allow` and has no more',
    )
    .option('--apply', 'apply it instead of printing it')
    .option('-o, --output <format>', 'yaml or json', 'yaml');
  return withClusterFlags(command, 'target cluster').action(async (flags: unknown) => {
    const settings = parseFlags(schema, flags, 'allow');
    if (settings.linkerd && settings.namespaces !== undefined)
      throw new LinkspanError('USAGE', '--linkerd and --namespaces exclude each other: Linkerd reads all');
    const account = { namespace: settings.namespace, name: settings.serviceAccountName };
    const manifests = remoteAccessManifests({
      account,
      linkerd: settings.linkerd,
      namespaces: settings.namespaces,
      boundTokens: settings.tokenTtl !== undefined,
      version: readVersion(),
    });
    // Linkerd's command prints without a cluster too.
    if (!settings.ignoreCluster || settings.apply)
      await withClient(settings, async (client) => {
        if (!settings.ignoreCluster) await assertNewAccount(client, account);
        if (!settings.apply) return;
        // Read before anything is written, so that missing rights are an error in time.
        const former = settings.ignoreCluster ? await formerRights(client, account, manifests) : [];
        await applyAll(client, manifests, { fieldManager: CLI_MANAGER, dryRun: false });
        for (const object of await deleteAll(client, former, { dryRun: false }))
          process.stderr.write(`taken back: ${titleOf(object)}\n`);
      });
    const done = `Service account ${account.namespace}/${account.name} may read the exports of this cluster\n`;
    process.stdout.write(settings.apply ? done : manifestText(manifests, settings.output));
  });
}
