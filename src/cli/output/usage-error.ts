import type { Command, CommanderError } from 'commander';
import { nearest } from '../../base/config.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';

/**
 * Commander's error about a command line as a Linkspan error, with the nearest known word and a pointer to
 * the right help.
 * @param args the words after the program's name
 */
export function usageError(error: CommanderError, program: Command, args: readonly string[]): LinkspanError {
  const { command, rest } = commandOf(program, args);
  const message = plainMessage(error.message.replace(/^error: /, '').trimEnd());
  const flag = FLAGS_FIRST.has(error.code) ? misspelt(command, rest) : undefined;
  return new LinkspanError('USAGE', flag ?? message, {
    hint: `\`${fullName(command)} --help\` says what there is.`,
  });
}

/** Commander's text with what it suggests on the same line, and no full stop at its end. */
function plainMessage(text: string): string {
  const at = text.lastIndexOf('(Did you mean ');
  if (at >= 0 && text.endsWith('?)'))
    return `${text.slice(0, at).trimEnd()} (did${text.slice(at + '(Did'.length)}`;
  return text.endsWith('.') ? text.slice(0, -1) : text;
}

/**
 * Commander's errors for which unknown flags are looked for first: it reports a misspelt required flag as
 * missing, and suggests no name for `--flag=value`.
 */
const FLAGS_FIRST = new Set([
  'commander.missingMandatoryOptionValue',
  'commander.missingArgument',
  'commander.unknownOption',
]);

function misspelt(command: Command, rest: readonly string[]): string | undefined {
  const known = [...command.options.flatMap(({ long }) => long ?? []), '--help'];
  const flag = rest.map((word) => word.split('=')[0] ?? '').find((word) => isFlag(word, known));
  if (flag === undefined) return undefined;
  const near = nearest(flag, known);
  return `unknown option '${flag}'${near === undefined ? '' : ` (did you mean ${near}?)`}`;
}

function isFlag(word: string, known: readonly string[]): boolean {
  return word.startsWith('--') && word.length > 2 && !known.includes(word);
}

/** The command or subcommand that the words name, and the words after it. */
function commandOf(program: Command, args: readonly string[]): { command: Command; rest: readonly string[] } {
  let command = program;
  let rest = args;
  for (;;) {
    const next = command.commands.find((one) => one.name() === rest[0]);
    if (next === undefined) return { command, rest };
    command = next;
    rest = rest.slice(1);
  }
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}
