import { Command, type Option } from 'commander';
import { LinkspanError } from '../base/errors.ts';
import { contextNames } from '../kube/access.ts';
import { SCRIPTS } from './completion-scripts.ts';

/** Flags whose values are contexts of the kubeconfig. */
const CONTEXT_FLAGS = new Set(['--context', '--source-context']);

/** `linkspan completion SHELL`: a script for the shell, which asks `linkspan complete` for the words. */
export function completionCommand(): Command {
  return new Command('completion')
    .description('print the completion script of a shell')
    .argument('<shell>', Object.keys(SCRIPTS).join(', '))
    .action((shell: string) => {
      const script = SCRIPTS[shell];
      if (script === undefined)
        throw new LinkspanError(
          'CONFIG_INVALID',
          `completion: there is no script for "${shell}", only for ${Object.keys(SCRIPTS).join(', ')}`,
        );
      process.stdout.write(script);
    });
}

/** `linkspan complete -- WORDS…`: the words that may follow, one a line. What the scripts run. */
export function completeCommand(): Command {
  return new Command('complete')
    .description('print what may follow the given words (run by completion scripts)')
    .argument('[words...]')
    .allowUnknownOption()
    .action(async (words: string[]) => {
      const { HIDDEN, verbs } = await import('./verbs.ts');
      const program = new Command('linkspan');
      const shown = Object.entries(verbs).filter(([name]) => !HIDDEN.has(name));
      for (const [, load] of shown) program.addCommand((await load())());
      process.stdout.write(
        suggestions(program, words, contexts)
          .map((word) => `${word}\n`)
          .join(''),
      );
    });
}

/**
 * The words that may stand at the end of a command line.
 * @param words what stands behind the program's name; the last one is being typed and may be empty
 */
export function suggestions(
  program: Command,
  words: readonly string[],
  contextsOf: () => readonly string[],
): string[] {
  const typed = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  let at = program;
  for (const word of before) at = at.commands.find((one) => one.name() === word) ?? at;
  const flag = at.options.find((option) => takesValue(option) && names(option).includes(before.at(-1) ?? ''));
  const choices = flag === undefined ? wordsOf(at, typed) : valuesOf(flag, contextsOf);
  return choices.filter((word) => word.startsWith(typed)).sort();
}

function wordsOf(command: Command, typed: string): string[] {
  if (typed.startsWith('-'))
    return [
      ...command.options.filter(({ hidden }) => !hidden).map(({ long }) => long ?? ''),
      '--help',
    ].filter((word) => word !== '');
  return command.commands.map((one) => one.name());
}

function valuesOf(option: Option, contextsOf: () => readonly string[]): string[] {
  if (CONTEXT_FLAGS.has(option.long ?? '')) return [...contextsOf()];
  // "table, json or yaml": the help text is the list.
  if (option.long === '--output') return option.description.match(/\b(table|wide|short|json|yaml)\b/g) ?? [];
  return [];
}

function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

function names({ long, short }: Option): string[] {
  return [long, short].filter((name) => name !== undefined);
}

function contexts(): readonly string[] {
  try {
    return contextNames();
  } catch {
    return [];
  }
}
