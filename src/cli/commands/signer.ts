import { Command } from 'commander';
import { z } from 'zod';
import { parseAddress } from '../../base/address.ts';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { DEFAULT_CLUSTER_DOMAIN, DEFAULT_LINKERD_NAMESPACE, DEFAULT_NAMESPACE } from '../../api/names.ts';
import type { ClusterAccess } from '../../kube/client/access.ts';
import { KubeClient } from '../../kube/client/kube-client.ts';
import { CredentialsRole } from '../../controllers/link/credentials-role.ts';
import { untilStopped } from '../../processes/lifecycle.ts';
import { type Health, startAdmin } from '../../telemetry/admin.ts';
import { LastResort, publishProcessErrors } from '../../telemetry/last-resort.ts';
import { createLogger, type Logger } from '../../telemetry/log.ts';
import { createRegistry, type Registry } from '../../telemetry/registry.ts';
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

/** `linkspan signer`: what must not be near other clusters: the issuer's key, and who may read which Secret. */
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
  const log = createLogger({ name: 'signer', level: settings.logLevel });
  const lastResort = new LastResort({ log, clock: systemClock });
  const access = accessOf(settings);
  const registry = createRegistry();
  publishProcessErrors(registry, lastResort);
  lastResort.goOn();
  const parts = await Promise.all([
    startSigner(settings, access, registry, log),
    startRole(settings, access, log),
  ]);
  const running = parts.filter((part) => part !== undefined);
  const admin = await startAdmin({
    address: parseAddress(settings.admin, '--admin'),
    registry,
    ready: () => running.map((part) => part.ready()).find(({ ok }) => !ok) ?? { ok: true, reason: '' },
  });
  log.info({ server: access.server, namespace: settings.namespace }, 'signer started');
  await untilStopped(async (signal) => {
    log.info({ signal }, 'stopping');
    await Promise.all(running.map((part) => part.stop()));
    await admin.close();
  });
}

/** One of the signer's two tasks. */
interface Running {
  ready(): Health;
  stop(): Promise<void>;
}

/** Signs and publishes the trust anchors, when there is an --issuer-dir. What issues is loaded only then: the ASN.1 library takes 48 MB. */
async function startSigner(
  flags: Settings,
  access: ClusterAccess,
  registry: Registry,
  log: Logger,
): Promise<Running | undefined> {
  if (flags.issuerDir === undefined) return undefined;
  const [{ openIssuerDir }, { Signer }, { TrustPublisher }, { publishSigner }] = await Promise.all([
    import('../../identity/authority/issuer-dir.ts'),
    import('../../identity/signer/signer.ts'),
    import('../../identity/signer/trust-publisher.ts'),
    import('../../identity/identity-metrics.ts'),
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
    // An issuer that is not there yet is no reason: it is waited for, and told of by `linkspan check`.
    ready: () => signer.ready,
    stop: async () => {
      await Promise.all([signer.stop(), trust.stop(), issuer.close()]);
      await client.close();
    },
  };
}

async function startRole(flags: Settings, access: ClusterAccess, log: Logger): Promise<Running | undefined> {
  const { credentialsRole: role, namespace } = flags;
  if (role === undefined) return undefined;
  const shared = { clock: systemClock, random: Math.random, log };
  const client = new KubeClient(access, shared);
  const grants = new CredentialsRole({ client, namespace, role, ...shared });
  grants.start();
  return {
    ready: () => grants.ready,
    stop: async () => {
      await grants.stop();
      await client.close();
    },
  };
}
