import type { Command } from 'commander';
import { z } from 'zod';
import { DEFAULT_CLUSTER_NETWORKS, isNetwork } from '../../gateway/authorization/networks.ts';

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
