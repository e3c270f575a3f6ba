import type { Command } from 'commander';
import { identityCommand } from './identity.ts';
import { versionCommand } from './version.ts';

/** Every verb of the CLI, in the order in which `--help` lists them. */
export const verbs: readonly (() => Command)[] = [identityCommand, versionCommand];
