import { Command, CommanderError } from 'commander';
import { describeError } from '../base/errors.ts';
import { verbsFor } from './verbs.ts';

/** Verbs for machines. */
const HIDDEN: ReadonlySet<string> = new Set(['label-namespace']);

/** The `linkspan` program: one file per verb, each parses its flags and calls what does the work. */
async function main(): Promise<void> {
  endWithLauncher();
  const program = new Command('linkspan')
    .description('Multicluster gateway and service mirror for Kubernetes')
    .showSuggestionAfterError()
    .showHelpAfterError('(add --help for the flags)')
    .exitOverride();
  for (const verb of await verbsFor(process.argv[2])) {
    const command = verb().exitOverride();
    program.addCommand(command, { hidden: HIDDEN.has(command.name()) });
  }
  try {
    await program.parseAsync(process.argv);
  } catch (error) {
    process.exitCode = report(error);
  }
}

/** When an old Node's launcher (`bin/linkspan.js`) is killed, this process must not outlive it. */
function endWithLauncher(): void {
  if (process.env['LINKSPAN_LAUNCHER'] !== '1' || process.channel === undefined) return;
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel?.unref();
}

function report(error: unknown): number {
  // Commander has printed its own message already.
  if (error instanceof CommanderError) return error.exitCode;
  process.stderr.write(`linkspan: ${describeError(error)}\n`);
  return 1;
}

await main();
