import { LINKERD_TRUST_CONFIG_MAP } from '../api/credentials/trust-config-maps.ts';
import { DEFAULT_NAMESPACE, TRUST_CONFIG_MAP } from '../api/names.ts';
import { parseAddress } from '../base/address.ts';
import { systemClock } from '../base/clock.ts';
import { identityName } from '../identity/names/identity-name.ts';
import { csrIssuer } from '../identity/sources/csr-issuer.ts';
import { openIdentityDir } from '../identity/sources/identity-dir.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import { linkerdIssuer } from '../identity/sources/linkerd-issuer.ts';
import { openRequestedIdentity } from '../identity/sources/requested-identity.ts';
import {
  configMapIn,
  openAnchorsConfigMap,
  openAnchorsFile,
  type TrustAnchors,
} from '../identity/sources/trust-anchors.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import type { Logger } from '../telemetry/log.ts';

/**
 * Settings of the identity of a process that carries traffic; the first word is the source that uses them.
 */
export interface OwnIdentity {
  readonly identity: 'dir' | 'linkerd' | 'csr';
  /** `dir`: tls.crt, tls.key and ca.crt. */
  readonly identityDir?: string | undefined;
  /** `linkerd`: default that of the token's account. */
  readonly identityName?: string | undefined;
  /** `linkerd`, `csr`: a file or `configmap:<namespace>/<name>`; default the mesh's own. */
  readonly identityAnchors?: string | undefined;
  /** `linkerd`: address, name and token of the identity service. */
  readonly identityService: string;
  readonly identityServiceName?: string | undefined;
  readonly identityTokenFile: string;
  /** `csr`: milliseconds. */
  readonly identityLifetime: number;
  readonly controlNamespace: string;
  readonly trustDomain: string;
}

/** Opens the identity with its own anchors. @throws LinkspanError CONFIG_INVALID, … */
export async function openOwnIdentity(
  settings: OwnIdentity,
  clientOf: () => KubeClient,
  log: Logger,
): Promise<IdentitySource> {
  const shared = { clock: systemClock, random: Math.random, log };
  const { controlNamespace, trustDomain } = settings;
  if (settings.identity === 'dir') return openIdentityDir({ dir: settings.identityDir ?? '', ...shared });
  if (settings.identity === 'linkerd') {
    const serverIdentity =
      settings.identityServiceName ??
      identityName({
        serviceAccount: 'linkerd-identity',
        namespace: controlNamespace,
        controlNamespace,
        trustDomain,
      });
    const issuer = linkerdIssuer({
      address: parseAddress(settings.identityService, '--identity-service'),
      serverIdentity,
      tokenFile: settings.identityTokenFile,
      ...(settings.identityName === undefined ? {} : { name: settings.identityName }),
      controlNamespace,
      trustDomain,
      clock: systemClock,
    });
    const roots = `configmap:${controlNamespace}/${LINKERD_TRUST_CONFIG_MAP}`;
    const anchors = await openAnchors(settings.identityAnchors ?? roots, clientOf);
    return openRequestedIdentity({ issuer, anchors, ...shared });
  }
  const issuer = csrIssuer({
    client: clientOf(),
    controlNamespace,
    trustDomain,
    lifetimeMs: settings.identityLifetime,
    clock: systemClock,
    log,
  });
  const where = settings.identityAnchors ?? `configmap:${DEFAULT_NAMESPACE}/${TRUST_CONFIG_MAP}`;
  return openRequestedIdentity({ issuer, anchors: await openAnchors(where, clientOf), ...shared });
}

async function openAnchors(where: string, clientOf: () => KubeClient): Promise<TrustAnchors> {
  const ref = configMapIn(where, '--identity-anchors');
  return ref === undefined
    ? openAnchorsFile(where, systemClock)
    : openAnchorsConfigMap({
        client: clientOf(),
        ownsClient: true,
        ref,
        clock: systemClock,
        random: Math.random,
      });
}
