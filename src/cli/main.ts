import { Command, CommanderError } from 'commander';
import path from 'node:path';
import { codeOf, describeError } from '../api/errors/linkspan-error.ts';
import { plainText } from '../base/text.ts';
import { readVersion } from '../base/version.ts';
import { usageError } from './output/usage-error.ts';
import { HELP_FORMAT, HIDDEN, verbsFor } from './verbs.ts';

/** Exit codes: 1 for a failure, 2 for a usage error. */
const FAILED = 1;
const USAGE = 2;

/** The `linkspan` program: one file per verb, each parses its flags and calls what does the work. */
async function main(): Promise<void> {
  endWithLauncher();
  endWithReader();
  const program = new Command(programName(process.argv[1]))
    .description('Multicluster gateway and service mirror for Kubernetes')
    .version(readVersion(), '-V, --version', 'print the version of this program')
    .showSuggestionAfterError()
    .configureHelp(HELP_FORMAT)
    // Printed by `report`, as every other error is.
    .configureOutput({ outputError: () => undefined })
    .exitOverride();
  for (const verb of await verbsFor(process.argv[2])) {
    const command = verb();
    inherit(command, program);
    program.addCommand(command, { hidden: HIDDEN.has(command.name()) });
  }
  try {
    await program.parseAsync(process.argv);
  } catch (error) {
    process.exitCode = report(error, program);
  }
}

/** The program's name in help texts; as a kubectl plugin it is `kubectl linkspan`. */
function programName(file: string | undefined): string {
  return path.basename(file ?? '').startsWith('kubectl-linkspan') ? 'kubectl linkspan' : 'linkspan';
}

/** Copies settings to a command: `addCommand` does not. */
function inherit(command: Command, from: Command): void {
  command.copyInheritedSettings(from);
  for (const below of command.commands) inherit(below, command);
}

/** Ends quietly when the reader of stdout closes it, as in `linkspan mirrors | head`. */
function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // With the exit code that the verb has set: a drill that failed has failed, whoever reads of it.
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
}

/** Ends this process when the launcher (`bin/linkspan.js` under an old Node) is killed. */
function endWithLauncher(): void {
  if (process.env['LINKSPAN_LAUNCHER'] !== '1' || process.channel === undefined) return;
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel?.unref();
}

function report(error: unknown, program: Command): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    // A verb that needs a further verb: commander has printed its help.
    if (error.code === 'commander.help') return USAGE;
  }
  const told = error instanceof CommanderError ? usageError(error, program, process.argv.slice(2)) : error;
  process.stderr.write(`linkspan: ${plainText(describeError(told))}\n`);
  const code = codeOf(told);
  return code === 'CONFIG_INVALID' || code === 'USAGE' ? USAGE : FAILED;
}

await main();
