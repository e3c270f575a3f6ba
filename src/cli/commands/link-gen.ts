import { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { manifestsFor, readTarget } from '../../linking/link-request.ts';
import { clusterFlags, openCluster, withClusterFlags } from '../flags/cluster-flags.ts';
import {
  gatewayNotes,
  linkFlags,
  linkRequest,
  linkWarnings,
  refuseRenewedDestination,
  withLinkFlags,
} from '../flags/link-flags.ts';
import { manifestFormat, manifestText } from '../output/output.ts';

const schema = z.strictObject({
  ...clusterFlags,
  ...linkFlags,
  destinationCredentials: z.boolean(),
  output: manifestFormat,
});
type Settings = z.output<typeof schema>;

/**
 * `linkspan link-gen`: prints what a source cluster needs to reach the target cluster of the current context.
 */
export function linkGenCommand(): Command {
  const command = new Command('link-gen').description(
    'print the Secrets and the Link that join this (target) cluster to a source cluster',
  );
  return withLinkFlags(withClusterFlags(command, 'target cluster'))
    .option(
      '--no-destination-credentials',
      "leave out the Secret for the source cluster's Linkerd control plane",
    )
    .option('-o, --output <format>', 'yaml or json', 'yaml')
    .action(async (flags: unknown) => {
      process.stdout.write(await linkGen(parseFlags(schema, flags, 'link-gen')));
    });
}

async function linkGen(settings: Settings): Promise<string> {
  const { destinationCredentials, output, ...flags } = settings;
  refuseRenewedDestination(flags.tokenTtl, destinationCredentials);
  const deps = { clock: systemClock, random: Math.random };
  const { access, client } = openCluster(settings);
  try {
    const request = linkRequest(flags, destinationCredentials);
    const facts = await readTarget({ access, client }, request, { ...deps, thorough: false });
    const manifests = manifestsFor(request, access, facts);
    for (const warning of [...linkWarnings(access), ...gatewayNotes(manifests)])
      process.stderr.write(`linkspan: ${warning}\n`);
    return manifestText(manifests, output);
  } finally {
    await client.close();
  }
}
