import { Command } from 'commander';
import { z } from 'zod';
import { parseAddress } from '../../base/address.ts';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { DEFAULT_CLUSTER_DOMAIN, DEFAULT_LINKERD_NAMESPACE, DEFAULT_NAMESPACE } from '../../api/names.ts';
import { runSigner } from '../../processes/signer-process.ts';
import { giveBackAfterStart } from '../../processes/v8-tuning.ts';
import { createLogger } from '../../telemetry/log.ts';
import { accessOf, clusterFlags, durationFlag } from '../flags/cluster-flags.ts';

const schema = z
  .strictObject({
    ...clusterFlags,
    namespace: z.string(),
    issuerDir: z.string().min(1).optional(),
    controlNamespace: z.string().min(1),
    trustDomain: z.string().min(1),
    maxCertificateLife: durationFlag.refine((ms) => ms >= 600_000, { error: 'must be at least 10m' }),
    credentialsRole: z.string().min(1).optional(),
    admin: z.string(),
    logLevel: z.enum(['error', 'warn', 'info', 'debug']),
  })
  .refine(({ issuerDir, credentialsRole }) => issuerDir !== undefined || credentialsRole !== undefined, {
    error: 'there is nothing to do without --issuer-dir and without --credentials-role',
  });
type Settings = z.output<typeof schema>;

/**
 * `linkspan signer`: the tasks that are kept apart from everything that talks to other clusters: signing with
 * the issuer's key, and keeping the Role that says which Secrets the controller may read.
 */
export function signerCommand(): Command {
  return new Command('signer')
    .description(
      "sign the workload certificates of this cluster, and let the controller read its Links' Secrets and no others; talks to no other cluster",
    )
    .option(
      '--kubeconfig <file>',
      "kubeconfig of this cluster (default: the pod's own account, else ~/.kube/config)",
    )
    .option('--context <name>', 'context of the kubeconfig')
    .option(
      '--namespace <ns>',
      'namespace of the trust anchors, of the Links and their Secrets',
      DEFAULT_NAMESPACE,
    )
    .option(
      '--issuer-dir <dir>',
      'tls.crt, tls.key and ca.crt of an issuer (watched): sign certificate requests with it',
    )
    .option(
      '--control-namespace <name>',
      "the mesh's namespace, part of every identity that is signed",
      DEFAULT_LINKERD_NAMESPACE,
    )
    .option('--trust-domain <domain>', 'last part of every identity that is signed', DEFAULT_CLUSTER_DOMAIN)
    .option('--max-certificate-life <time>', 'longest life that is signed, whoever asks for what', '24h')
    .option(
      '--credentials-role <name>',
      'Role of which the rules are kept at the Secrets that Links name: get, list and watch, and patch where a token is renewed. The Role has to be there',
    )
    .option('--admin <address>', 'address of /ready, /live and /metrics', '0.0.0.0:9998')
    .option('--log-level <level>', 'error, warn, info or debug', 'info')
    .action((flags: unknown) => run(parseFlags(schema, flags, 'signer')));
}

async function run(settings: Settings): Promise<void> {
  giveBackAfterStart(systemClock);
  await runSigner({
    ...settings,
    log: createLogger({ name: 'signer', level: settings.logLevel }),
    access: accessOf(settings),
    admin: parseAddress(settings.admin, '--admin'),
  });
}
