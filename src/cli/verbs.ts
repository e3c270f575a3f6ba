import type { Command } from 'commander';
import { explainCommand } from './explain.ts';
import { mirrorsCommand } from './mirrors.ts';
import { egressCommand } from './egress.ts';
import { gatewayCommand } from './gateway.ts';
import { identityCommand } from './identity.ts';
import { controllerCommand } from './controller.ts';
import { linkGenCommand } from './link-gen.ts';
import { versionCommand } from './version.ts';

/** Every verb of the CLI, in the order in which `--help` lists them. */
export const verbs: readonly (() => Command)[] = [
  controllerCommand,
  gatewayCommand,
  egressCommand,
  linkGenCommand,
  mirrorsCommand,
  explainCommand,
  identityCommand,
  versionCommand,
];
