import { hostname } from 'node:os';
import { readFileSync } from 'node:fs';
import { systemClock } from '../base/clock.ts';
import { openKubePolicies } from '../gateway/authorization/kube-policies.ts';
import { NO_POLICIES, type PolicySource } from '../gateway/authorization/policy-source.ts';
import { meshNameOf } from '../identity/names/trust-domain.ts';
import type { IdentitySource } from '../identity/sources/identity.ts';
import type { KubeClient } from '../kube/client/kube-client.ts';
import type { Logger } from '../telemetry/log.ts';

/** Where Kubernetes tells every pod its namespace. */
const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** Which policies a gateway follows. */
export interface PolicySettings {
  /** Those of itself and its targets, of itself alone, or none. */
  readonly policy: 'all' | 'gateway' | 'off';
  readonly clusterNetworks: readonly string[];
  /** The gateway's own pod; default: what Kubernetes says of the process. */
  readonly podNamespace?: string | undefined;
  readonly podName?: string | undefined;
  /** Of its mesh, where its own identity does not say it. */
  readonly controlNamespace: string;
  readonly trustDomain: string;
}

/** Watches the policies that are asked for. @param parts.port where the gateway listens for other clusters */
export function openPolicies(
  settings: PolicySettings,
  parts: {
    readonly client: KubeClient;
    readonly identity: IdentitySource;
    readonly port: number;
    readonly log: Logger;
  },
): PolicySource {
  if (settings.policy === 'off') return NO_POLICIES;
  const { client, identity, port, log } = parts;
  const { controlNamespace, trustDomain, clusterNetworks } = settings;
  const namespace = settings.podNamespace ?? ownNamespace();
  return openKubePolicies({
    client,
    clock: systemClock,
    random: Math.random,
    log,
    setting: () => ({
      ...(meshNameOf(identity.current()?.name ?? '') ?? { controlNamespace, trustDomain }),
      clusterNetworks,
    }),
    own: namespace === undefined ? undefined : { namespace, name: settings.podName ?? hostname(), port },
    targets: settings.policy === 'all',
  });
}

/** @returns undefined outside of Kubernetes */
function ownNamespace(): string | undefined {
  try {
    return readFileSync(NAMESPACE_FILE, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}
