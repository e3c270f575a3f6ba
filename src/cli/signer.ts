import type { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../base/clock.ts';
import { DEFAULT_CLUSTER_DOMAIN, DEFAULT_LINKERD_NAMESPACE } from '../base/names.ts';
import type { ClusterAccess } from '../kube/access.ts';
import { KubeClient } from '../kube/client.ts';
import { durationFlag } from './flags.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Registry } from '../telemetry/metrics.ts';

/** Flags of the controller's signer. */
export const signerFlags = {
  issuerDir: z.string().min(1).optional(),
  controlNamespace: z.string().min(1),
  trustDomain: z.string().min(1),
  maxCertificateLife: durationFlag.refine((ms) => ms >= 600_000, { error: 'must be at least 10m' }),
};
export type SignerFlags = z.output<z.ZodObject<typeof signerFlags>> & { readonly namespace: string };

/** Adds them to a verb. */
export function withSignerFlags(command: Command): Command {
  return command
    .option(
      '--issuer-dir <dir>',
      'tls.crt, tls.key and ca.crt of an issuer (watched): sign the workload certificates of this cluster with it',
    )
    .option(
      '--control-namespace <name>',
      "the mesh's namespace, part of every identity that is signed",
      DEFAULT_LINKERD_NAMESPACE,
    )
    .option('--trust-domain <domain>', 'last part of every identity that is signed', DEFAULT_CLUSTER_DOMAIN)
    .option('--max-certificate-life <time>', 'longest life that is signed, whoever asks for what', '24h');
}

/** A running signer. */
export interface RunningSigner {
  stop(): Promise<void>;
}

/** Signs and publishes the trust anchors, when there is an --issuer-dir. What issues is loaded only then: the ASN.1 library takes 48 MB. */
export async function startSigner(
  flags: SignerFlags,
  access: ClusterAccess,
  registry: Registry,
  log: Logger,
): Promise<RunningSigner | undefined> {
  if (flags.issuerDir === undefined) return undefined;
  const [{ openIssuerDir }, { Signer }, { TrustPublisher }, { publishSigner }] = await Promise.all([
    import('../identity/issuer-dir.ts'),
    import('../identity/signer.ts'),
    import('../identity/trust-publisher.ts'),
    import('../identity/metrics.ts'),
  ]);
  const shared = { clock: systemClock, random: Math.random, log };
  const { namespace, controlNamespace, trustDomain, maxCertificateLife: maxLifetimeMs } = flags;
  const client = new KubeClient(access, shared);
  const issuer = await openIssuerDir({ dir: flags.issuerDir, trustDomain, ...shared });
  const rules = { controlNamespace, trustDomain, maxLifetimeMs };
  const signer = new Signer({ client, issuer, rules, ...shared });
  const trust = new TrustPublisher({ client, namespace, issuer, trustDomain, ...shared });
  publishSigner(registry, signer, issuer);
  signer.start();
  trust.start();
  return {
    stop: async () => {
      await Promise.all([signer.stop(), trust.stop(), issuer.close()]);
      await client.close();
    },
  };
}
