import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import { openKubePolicies } from '../../gateway/authorization/kube-policies.ts';
import { DEFAULT_CLUSTER_NETWORKS, isNetwork } from '../../gateway/authorization/networks.ts';
import { NO_POLICIES, type PolicySource } from '../../gateway/authorization/policy-source.ts';
import { meshNameOf } from '../../identity/names/trust-domain.ts';
import type { IdentitySource } from '../../identity/sources/identity.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import type { Logger } from '../../telemetry/log.ts';

/** Flags of the gateway about the policies of its cluster. */
export const policyFlags = {
  policy: z.enum(['all', 'gateway', 'off']),
  clusterNetworks: z.array(
    z.string().refine(isNetwork, {
      error: ({ input }) => `"${String(input)}" is no network such as 10.0.0.0/8 or fd00::/8, nor an address`,
    }),
  ),
  podNamespace: z.string().min(1).optional(),
  podName: z.string().min(1).optional(),
};

/** Adds them to a verb. */
export function withPolicyFlags(command: Command): Command {
  return command
    .option(
      '--policy <whose>',
      "Linkerd's Servers that clients have to pass where Linkerd is installed: all (the gateway's and the targets'), gateway (only the gateway's, as with Linkerd's), off",
      'all',
    )
    .option(
      '--cluster-networks <network...>',
      'what the policies cluster-authenticated and cluster-unauthenticated mean',
      [...DEFAULT_CLUSTER_NETWORKS],
    )
    .option(
      '--pod-namespace <name>',
      "namespace of the gateway's pod, for Servers that select it (default: that of the pod's account)",
    )
    .option('--pod-name <name>', "name of the gateway's pod (default: the host name)");
}
type PolicyFlags = z.output<z.ZodObject<typeof policyFlags>>;

/** Where Kubernetes tells every pod its namespace. */
const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** Watches the policies that the flags ask for. @param parts.port where the gateway listens for other clusters */
export function openPolicies(
  flags: PolicyFlags & { readonly controlNamespace: string; readonly trustDomain: string },
  parts: {
    readonly client: KubeClient;
    readonly identity: IdentitySource;
    readonly port: number;
    readonly log: Logger;
  },
): PolicySource {
  if (flags.policy === 'off') return NO_POLICIES;
  const { client, identity, port, log } = parts;
  const { controlNamespace, trustDomain, clusterNetworks } = flags;
  const namespace = flags.podNamespace ?? ownNamespace();
  return openKubePolicies({
    client,
    clock: systemClock,
    random: Math.random,
    log,
    setting: () => ({
      ...(meshNameOf(identity.current()?.name ?? '') ?? { controlNamespace, trustDomain }),
      clusterNetworks,
    }),
    own: namespace === undefined ? undefined : { namespace, name: flags.podName ?? hostname(), port },
    targets: flags.policy === 'all',
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
