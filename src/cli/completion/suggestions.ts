import type { Command, Option } from 'commander';
import { SCRIPTS } from './completion-scripts.ts';

/** Flags whose values are contexts of the kubeconfig. */
const CONTEXT_FLAGS = new Set(['--context', '--source-context']);

/** Sources of names for suggestions outside the program. */
export interface SuggestionSources {
  /** Contexts of the kubeconfig. */
  readonly contexts: () => readonly string[];
  /**
   * Names of Links, in the cluster that the flags among the words select; empty when it does not answer in
   * time.
   */
  readonly links: (before: readonly string[]) => Promise<readonly string[]>;
}

/**
 * The words that may stand at the end of a command line.
 * @param words the words after the program's name; the last one is being typed and may be empty
 */
export async function suggestions(
  program: Command,
  words: readonly string[],
  known: SuggestionSources,
): Promise<string[]> {
  const typed = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  let at = program;
  for (const word of before) at = at.commands.find((one) => one.name() === word) ?? at;
  const flag = at.options.find((option) => takesValue(option) && names(option).includes(before.at(-1) ?? ''));
  const choices = flag === undefined ? await wordsOf(at, words, known) : await valuesOf(flag, before, known);
  return choices.filter((word) => word.startsWith(typed)).sort();
}

async function wordsOf(
  command: Command,
  words: readonly string[],
  known: SuggestionSources,
): Promise<readonly string[]> {
  if (words.at(-1)?.startsWith('-') === true)
    return [
      ...command.options.filter(({ hidden }) => !hidden).map(({ long }) => long ?? ''),
      '--help',
    ].filter((word) => word !== '');
  if (command.name() === 'completion') return Object.keys(SCRIPTS);
  if (command.name() === 'explain') return explainable(words, known);
  return command.commands.map((one) => one.name());
}

/** The kinds of `explain`, or after a kind its known names. */
async function explainable(words: readonly string[], known: SuggestionSources): Promise<readonly string[]> {
  const before = words.slice(0, -1);
  switch (before.at(-1)) {
    case 'explain':
      return ['svc', 'link', 'reason', 'error'];
    case 'link':
      return known.links(before);
    case 'reason':
      return Object.keys((await import('../output/reason-advice.ts')).reasonAdvice);
    case 'error':
      return Object.keys((await import('../../api/errors/error-catalogue.ts')).catalogue);
    default:
      return [];
  }
}

const FORMATS = new Set(['table', 'wide', 'short', 'json', 'yaml']);

async function valuesOf(
  option: Option,
  before: readonly string[],
  known: SuggestionSources,
): Promise<readonly string[]> {
  if (CONTEXT_FLAGS.has(option.long ?? '')) return known.contexts();
  if (option.long === '--link') return known.links(before);
  // "table, json or yaml": the help text is the list.
  if (option.long === '--output') return option.description.split(/\W+/).filter((word) => FORMATS.has(word));
  return [];
}

function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

function names({ long, short }: Option): string[] {
  return [long, short].filter((name) => name !== undefined);
}
