import type { Command } from 'commander';
import { z } from 'zod';
import { TAP_RIGHT } from '../../api/answers/tap-events.ts';
import { TAP } from '../../api/names.ts';
import { systemClock } from '../../base/clock.ts';
import { clientFor } from '../../kube/client/scoped-client.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import type { Logger } from '../../telemetry/log.ts';
import { accessOf } from './cluster-flags.ts';

const onOff = z.enum(['on', 'off']).transform((text) => text === 'on');

/** Whether people may look at requests (`linkspan tap`). */
export const tapFlags = { tap: onOff, tapPaths: onOff };

/** Adds them to a verb. */
export function addTapFlags(command: Command): Command {
  return command
    .option(
      '--tap <switch>',
      `on: people whom the API server lets ${TAP_RIGHT.verb} ${TAP_RIGHT.resource}.${TAP_RIGHT.group} in a namespace may look at its requests (linkspan tap), never at headers, bodies and queries; takes the rights to create tokenreviews and subjectaccessreviews, and to get services and namespaces`,
      'off',
    )
    .option(
      '--tap-paths <switch>',
      `off: nobody sees the paths of requests; Services and Namespaces say so for themselves with ${TAP}`,
      'on',
    );
}

/** What opens a client of its own cluster by which it is asked who may look; undefined: nobody may. */
export function tapClientOf(
  settings: {
    readonly tap: boolean;
    readonly kubeconfig?: string | undefined;
    readonly context?: string | undefined;
  },
  log: Logger,
): (() => KubeClient) | undefined {
  if (!settings.tap) return undefined;
  return () =>
    clientFor(accessOf(settings), { clock: systemClock, random: Math.random, log, maxConnections: 4 });
}
