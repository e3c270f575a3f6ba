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

/** Which of Linkerd's policies a gateway enforces. */
export interface PolicySettings {
  /** Those that select itself or its targets, itself only, or none. */
  readonly policy: 'all' | 'gateway' | 'off';
  readonly clusterNetworks: readonly string[];
  /** The gateway's own pod; default: from the pod's service account directory and host name. */
  readonly podNamespace?: string | undefined;
  readonly podName?: string | undefined;
  /** Namespace of its mesh's control plane, where its own identity does not name it. */
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
