import type { SocketAddress } from '../base/address.ts';
import { systemClock } from '../base/clock.ts';
import { CredentialsRole } from '../controllers/link/credentials-role.ts';
import type { ClusterAccess } from '../kube/client/access.ts';
import { KubeClient } from '../kube/client/kube-client.ts';
import { type Health, startAdmin } from '../telemetry/admin.ts';
import { LastResort, publishProcessErrors } from '../telemetry/last-resort.ts';
import type { Logger } from '../telemetry/log.ts';
import { createRegistry, type Registry } from '../telemetry/registry.ts';
import { StopSignals } from './signals.ts';

/** Settings of a signer process. At least one of its two tasks is configured. */
export interface SignerProcess {
  readonly log: Logger;
  readonly access: ClusterAccess;
  /** Of the trust anchors, of the Links and their Secrets. */
  readonly namespace: string;
  /** Directory with tls.crt, tls.key and ca.crt of the issuer; undefined: nothing is signed. */
  readonly issuerDir?: string | undefined;
  /** Control-plane namespace in every identity that is signed. */
  readonly controlNamespace: string;
  readonly trustDomain: string;
  /** Longest life that is signed, milliseconds. */
  readonly maxCertificateLife: number;
  /** Role that is kept to the Secrets that Links name; undefined: no Role is kept. */
  readonly credentialsRole?: string | undefined;
  readonly admin: SocketAddress;
}

/** Runs the signer's tasks until the process is told to end. */
export async function runSigner(options: SignerProcess): Promise<void> {
  const stops = new StopSignals();
  const { log, access, namespace } = options;
  const lastResort = new LastResort({ log, clock: systemClock });
  const registry = createRegistry();
  publishProcessErrors(registry, lastResort);
  lastResort.surviveUncaught();
  const parts = await Promise.all([startSigner(options, registry), startRole(options)]);
  const running = parts.filter((part) => part !== undefined);
  const admin = await startAdmin({
    address: options.admin,
    registry,
    ready: () => running.map((part) => part.ready()).find(({ ok }) => !ok) ?? { ok: true, reason: '' },
  });
  log.info({ server: access.server, namespace }, 'signer started');
  await stops.untilStopped(async (signal) => {
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

/**
 * Starts signing, and publishing the trust anchors, where there is an `--issuer-dir`. The code that issues is
 * loaded only then, because the ASN.1 library takes 48 MB.
 */
async function startSigner(options: SignerProcess, registry: Registry): Promise<Running | undefined> {
  const { access, log, issuerDir } = options;
  if (issuerDir === undefined) return undefined;
  const [{ openIssuerDir }, { Signer }, { TrustPublisher }, { publishSigner }] = await Promise.all([
    import('../identity/authority/issuer-dir.ts'),
    import('../identity/signer/signer.ts'),
    import('../identity/signer/trust-publisher.ts'),
    import('../identity/identity-metrics.ts'),
  ]);
  const shared = { clock: systemClock, random: Math.random, log };
  const { namespace, controlNamespace, trustDomain, maxCertificateLife: maxLifetimeMs } = options;
  const client = new KubeClient(access, shared);
  const issuer = await openIssuerDir({ dir: issuerDir, trustDomain, ...shared });
  const rules = { controlNamespace, trustDomain, maxLifetimeMs };
  const signer = new Signer({ client, issuer, rules, ...shared });
  const trust = new TrustPublisher({ client, namespace, issuer, trustDomain, ...shared });
  publishSigner(registry, signer, issuer);
  signer.start();
  trust.start();
  return {
    // A missing issuer does not make the process unready: it is waited for, and `linkspan check` reports it.
    ready: () => signer.ready,
    stop: async () => {
      await Promise.all([signer.stop(), trust.stop(), issuer.close()]);
      await client.close();
    },
  };
}

async function startRole(options: SignerProcess): Promise<Running | undefined> {
  const { credentialsRole: role, namespace, access, log } = options;
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
