import path from 'node:path';
import { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { parseDuration } from '../../base/duration.ts';
import { DEFAULT_CLUSTER_DOMAIN, DEFAULT_LINKERD_NAMESPACE } from '../../api/names.ts';
import { clusterTrustDomain } from '../../identity/names/trust-domain.ts';
import { importCommand } from './identity-import.ts';
import { writeFiles } from '../output/identity-files.ts';
import { dnsLabel } from '../flags/link-flags.ts';

/**
 * `linkspan identity`: a trust anchor, an issuer and leaf certificates in files. The code that issues is
 * loaded when it is needed: the ASN.1 library takes longer to load than most verbs run.
 */
export function identityCommand(): Command {
  return new Command('identity')
    .description('make, import and show trust anchors, issuers and leaf certificates')
    .addCommand(anchorCommand())
    .addCommand(issuerCommand())
    .addCommand(leafCommand())
    .addCommand(importCommand())
    .addCommand(showCommand());
}

const lifetime = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0) return ms;
  context.addIssue({ code: 'custom', message: `"${text}" is not a duration such as 24h or 365d` });
  return z.NEVER;
});
const output = { out: z.string().min(1), force: z.boolean().default(false), lifetime };
const authority = {
  ...output,
  name: z.string().optional(),
  trustDomain: z.string().min(1),
  cluster: dnsLabel.optional(),
};
const anchorFlags = z.strictObject(authority);
const issuerFlags = z.strictObject({
  ...authority,
  anchor: z.string().min(1),
  constraints: z.boolean().default(true),
});
const leafFlags = z
  .strictObject({
    ...output,
    issuer: z.string().min(1),
    identity: z.string().optional(),
    serviceAccount: z.string().optional(),
    namespace: z.string().optional(),
    controlNamespace: z.string().min(1),
    trustDomain: z.string().min(1),
    cluster: dnsLabel.optional(),
  })
  .refine((flags) => (flags.identity === undefined) !== (flags.serviceAccount === undefined), {
    message: 'give either --identity or --service-account with --namespace',
  })
  .refine((flags) => (flags.serviceAccount === undefined) === (flags.namespace === undefined), {
    message: '--service-account and --namespace belong together',
  });

function anchorCommand(): Command {
  return new Command('anchor')
    .description('make a trust anchor: ca.crt and ca.key')
    .requiredOption('--out <dir>', 'directory to write to')
    .option('--trust-domain <domain>', 'names the anchor root.linkerd.<domain>', DEFAULT_CLUSTER_DOMAIN)
    .option(
      '--cluster <name>',
      'for one cluster alone: its trust domain is <name>.<domain>, and nothing below the anchor can name anybody else',
    )
    .option('--name <name>', 'common name, instead of the one from the trust domain')
    .option('--lifetime <duration>', 'such as 3650d', '3650d')
    .option('--force', 'replace files that are there')
    .action(async (options: unknown) => {
      const flags = parseFlags(anchorFlags, options, 'identity anchor');
      const { createAnchor } = await import('../../identity/authority/issue.ts');
      const { anchorFiles } = await import('../../identity/authority/pem-files.ts');
      const { name, cluster, lifetime: lifetimeMs } = flags;
      const named = name === undefined ? {} : { name };
      const trustDomain = clusterTrustDomain(flags.trustDomain, cluster);
      // Without a cluster the anchor is shared by all, so it is not restricted to one domain.
      const constrained = cluster !== undefined;
      const anchor = await createAnchor({
        ...named,
        trustDomain,
        constrained,
        lifetimeMs,
        clock: systemClock,
      });
      await writeFiles(flags, anchorFiles(anchor));
    });
}

function issuerCommand(): Command {
  return new Command('issuer')
    .description('make an issuer under an anchor: issuer.crt, issuer.key and ca.crt')
    .requiredOption('--anchor <dir>', 'directory with ca.crt and ca.key')
    .requiredOption('--out <dir>', 'directory to write to')
    .option(
      '--trust-domain <domain>',
      'names the issuer identity.linkerd.<domain>; it can name identities of this domain only',
      DEFAULT_CLUSTER_DOMAIN,
    )
    .option('--cluster <name>', 'for one cluster: its trust domain is <name>.<domain>')
    .option('--no-constraints', 'an issuer that may name everybody')
    .option('--name <name>', 'common name, instead of the one from the trust domain')
    .option('--lifetime <duration>', 'such as 365d', '365d')
    .option('--force', 'replace files that are there')
    .action(async (options: unknown) => {
      const flags = parseFlags(issuerFlags, options, 'identity issuer');
      const { createIssuer } = await import('../../identity/authority/issue.ts');
      const { issuerFiles, readAnchor } = await import('../../identity/authority/pem-files.ts');
      const { name, constraints: constrained, lifetime: lifetimeMs } = flags;
      const named = name === undefined ? {} : { name };
      const trustDomain = clusterTrustDomain(flags.trustDomain, flags.cluster);
      const anchor = await readAnchor(flags.anchor);
      const issuer = await createIssuer(anchor, {
        ...named,
        trustDomain,
        constrained,
        lifetimeMs,
        clock: systemClock,
      });
      await writeFiles(flags, issuerFiles(issuer));
    });
}

function leafCommand(): Command {
  return new Command('leaf')
    .description('make a key and its certificate: an identity directory with tls.crt, tls.key and ca.crt')
    .requiredOption('--issuer <dir>', 'directory with issuer.crt, issuer.key and ca.crt')
    .requiredOption('--out <dir>', 'directory to write to')
    .option('--service-account <name>', 'whose identity')
    .option('--namespace <name>', "the service account's namespace")
    .option('--identity <name>', 'the whole name: a DNS name or spiffe://<domain>/<path>')
    .option('--control-namespace <name>', "the mesh's namespace, part of the name", DEFAULT_LINKERD_NAMESPACE)
    .option('--trust-domain <domain>', 'last part of the name', DEFAULT_CLUSTER_DOMAIN)
    .option('--cluster <name>', 'of a cluster with a trust domain of its own: <name>.<domain>')
    .option('--lifetime <duration>', 'such as 24h', '24h')
    .option('--force', 'replace files that are there')
    .action(async (options: unknown) => {
      const flags = parseFlags(leafFlags, options, 'identity leaf');
      const { issueLeaf } = await import('../../identity/authority/issue.ts');
      const { identityFiles, readIssuer } = await import('../../identity/authority/pem-files.ts');
      const { identityName } = await import('../../identity/names/identity-name.ts');
      const { serviceAccount = '', namespace = '', controlNamespace } = flags;
      const trustDomain = clusterTrustDomain(flags.trustDomain, flags.cluster);
      const identity =
        flags.identity ?? identityName({ serviceAccount, namespace, controlNamespace, trustDomain });
      const issuer = await readIssuer(flags.issuer);
      const leaf = await issueLeaf(issuer, { identity, lifetimeMs: flags.lifetime, clock: systemClock });
      await writeFiles(flags, identityFiles(leaf));
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('print names, issuer and validity of the certificates in a PEM file')
    .argument('<file>', 'such as tls.crt')
    .action(async (file: string) => {
      const { describeCertificates } = await import('../../identity/x509/describe.ts');
      const { readPem } = await import('../../identity/authority/pem-files.ts');
      const found = await readPem(path.dirname(file), path.basename(file));
      process.stdout.write(`${describeCertificates(found.text, file, systemClock.now())}\n`);
    });
}
