import { LINKERD_TRUST_CONFIG_MAP } from '../../api/credentials/trust-config-maps.ts';
import type { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import {
  DEFAULT_CLUSTER_DOMAIN,
  DEFAULT_LINKERD_NAMESPACE,
  DEFAULT_NAMESPACE,
  IDENTITY_AUDIENCE,
  TRUST_CONFIG_MAP,
} from '../../api/names.ts';
import type { IdentitySource } from '../../identity/sources/identity.ts';
import { DEFAULT_IDENTITY_SERVICE, DEFAULT_IDENTITY_TOKEN } from '../../identity/sources/linkerd-issuer.ts';
import { KubeClient } from '../../kube/client/kube-client.ts';
import { openOwnIdentity } from '../../processes/own-identity.ts';
import type { Logger } from '../../telemetry/log.ts';
import { addAnchorsFlag, anchorsFlag, boundIdentity } from './anchors-flag.ts';
import { accessOf, durationFlag } from './cluster-flags.ts';

/** Flags of the verbs that carry traffic: where their identity comes from. */
export const identityFlags = {
  identity: z.enum(['dir', 'linkerd', 'csr']),
  identityDir: z.string().optional(),
  identityName: z.string().min(1).optional(),
  identityAnchors: z.string().min(1).optional(),
  identityService: z.string(),
  identityServiceName: z.string().min(1).optional(),
  identityTokenFile: z.string().min(1),
  identityLifetime: durationFlag.refine((ms) => ms >= 600_000, { error: 'must be at least 10m' }),
  controlNamespace: z.string().min(1),
  trustDomain: z.string().min(1),
  ...anchorsFlag,
};
export type IdentityFlags = z.output<z.ZodObject<typeof identityFlags>>;

/** For a verb's `refine`: the one flag that the default source cannot do without. */
export function hasIdentityDir(flags: Pick<IdentityFlags, 'identity' | 'identityDir'>): boolean {
  return flags.identity !== 'dir' || flags.identityDir !== undefined;
}

/** What to say when `hasIdentityDir` does not hold. */
export const NO_IDENTITY_DIR = {
  path: ['identityDir'],
  error:
    'is required: a folder with tls.crt, tls.key and ca.crt (or another source: --identity linkerd, --identity csr)',
};

/** Adds them to a verb. */
export function withIdentityFlags(command: Command): Command {
  return addAnchorsFlag(command)
    .option(
      '--identity <source>',
      "where the identity comes from: dir (files), linkerd (Linkerd's identity service), csr (this cluster's controller)",
      'dir',
    )
    .option('--identity-dir <dir>', 'dir: folder with tls.crt, tls.key and ca.crt; watched')
    .option('--identity-name <name>', "linkerd: own identity (default: that of the token's service account)")
    .option(
      '--identity-anchors <where>',
      `linkerd, csr: trust anchors, a file or configmap:<namespace>/<name> (default: configmap:${DEFAULT_LINKERD_NAMESPACE}/${LINKERD_TRUST_CONFIG_MAP}, configmap:${DEFAULT_NAMESPACE}/${TRUST_CONFIG_MAP})`,
    )
    .option(
      '--identity-service <address>',
      'linkerd: address of the identity service; a loopback address is spoken to without TLS',
      DEFAULT_IDENTITY_SERVICE,
    )
    .option(
      '--identity-service-name <name>',
      "linkerd: identity of that service (default: linkerd-identity's in the control namespace)",
    )
    .option(
      '--identity-token-file <file>',
      `linkerd: projected token of audience ${IDENTITY_AUDIENCE}`,
      DEFAULT_IDENTITY_TOKEN,
    )
    .option('--identity-lifetime <time>', 'csr: life of certificates to ask for', '24h')
    .option(
      '--control-namespace <name>',
      "linkerd, csr: the mesh's namespace, part of every identity",
      DEFAULT_LINKERD_NAMESPACE,
    )
    .option('--trust-domain <domain>', 'linkerd, csr: last part of every identity', DEFAULT_CLUSTER_DOMAIN);
}

/** Opens what the flags name. @throws LinkspanError CONFIG_INVALID, KUBECONFIG_… */
export async function openIdentity(
  flags: IdentityFlags & { kubeconfig?: string | undefined; context?: string | undefined },
  log: Logger,
): Promise<IdentitySource> {
  // Made only when needed: with anchors in a file, a gateway of a mesh starts without an API server.
  const clientOf = () => new KubeClient(accessOf(flags), { clock: systemClock, random: Math.random, log });
  return boundIdentity(await openOwnIdentity(flags, clientOf, log), flags.anchors, { clientOf, log });
}
