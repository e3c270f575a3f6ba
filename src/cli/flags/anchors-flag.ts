import type { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import {
  type BoundAnchorsSource,
  openBoundConfigMap,
  openBoundFile,
  parseAnchorsFlag,
  withBoundAnchors,
} from '../../identity/trust/bound-anchors.ts';
import type { IdentitySource } from '../../identity/sources/identity.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import type { Logger } from '../../telemetry/log.ts';

/** Trust anchors of other trust domains. */
export const anchorsFlag = { anchors: z.array(z.string()).default([]) };

/** Adds it to a verb. */
export function addAnchorsFlag(command: Command): Command {
  return command.option(
    '--anchors <binding...>',
    'trust anchors that may vouch for the identities of one trust domain only: <domain>=<PEM file>, watched, or configmap:<namespace>/<name> with a key <domain>.crt for each',
  );
}

/**
 * The identity with the anchors that the flag names.
 * @param clientOf for ConfigMaps; closed with the identity
 * @throws LinkspanError CONFIG_INVALID
 */
export async function boundIdentity(
  base: IdentitySource,
  bindings: readonly string[],
  options: { readonly clientOf: () => KubeClient; readonly log: Logger },
): Promise<IdentitySource> {
  try {
    const sources = await Promise.all(bindings.map((text) => openBinding(text, options.clientOf)));
    return withBoundAnchors(base, sources, { clock: systemClock, log: options.log });
  } catch (error) {
    await base.close();
    throw error;
  }
}

async function openBinding(text: string, clientOf: () => KubeClient): Promise<BoundAnchorsSource> {
  const binding = parseAnchorsFlag(text);
  if (!('configMap' in binding)) return openBoundFile(binding, systemClock);
  return openBoundConfigMap({
    client: clientOf(),
    ownsClient: true,
    ref: binding.configMap,
    clock: systemClock,
    random: Math.random,
  });
}
