import { Command, type Option } from 'commander';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { contextNames } from '../../kube/client/kubeconfig.ts';
import { SCRIPTS } from '../completion/completion-scripts.ts';

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

/** What a suggestion may take from outside the program. */
export interface Known {
  /** Contexts of the kubeconfig. */
  readonly contexts: () => readonly string[];
  /** Names of Links of the cluster that the words before name; empty when it does not answer at once. */
  readonly links: (before: readonly string[]) => Promise<readonly string[]>;
}

/** `linkspan complete -- WORDS…`: the words that may follow, one a line. What the scripts run. */
export function completeCommand(): Command {
  return new Command('complete')
    .description('print what may follow the given words (run by completion scripts)')
    .argument('[words...]')
    .allowUnknownOption()
    .action(async (words: string[]) => {
      const { HIDDEN, verbs } = await import('../verbs.ts');
      const shown = Object.keys(verbs).filter((name) => !HIDDEN.has(name));
      // A person waits at the key: nothing is loaded but the verb that is being typed.
      const found =
        words.length > 1 && shown.includes(words[0] ?? '')
          ? await suggestions(await onlyVerb(verbs[words[0] ?? '']), words, { contexts, links: linkNames })
          : shown.filter((name) => name.startsWith(words.at(-1) ?? '')).sort();
      process.stdout.write(found.map((word) => `${word}\n`).join(''));
    });
}

async function onlyVerb(load: (() => Promise<() => Command>) | undefined): Promise<Command> {
  const program = new Command('linkspan');
  if (load !== undefined) program.addCommand((await load())());
  return program;
}

/**
 * The words that may stand at the end of a command line.
 * @param words what stands behind the program's name; the last one is being typed and may be empty
 */
export async function suggestions(
  program: Command,
  words: readonly string[],
  known: Known,
): Promise<string[]> {
  const typed = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  let at = program;
  for (const word of before) at = at.commands.find((one) => one.name() === word) ?? at;
  const flag = at.options.find((option) => takesValue(option) && names(option).includes(before.at(-1) ?? ''));
  const choices = flag === undefined ? await wordsOf(at, words, known) : await valuesOf(flag, before, known);
  return choices.filter((word) => word.startsWith(typed)).sort();
}

async function wordsOf(command: Command, words: readonly string[], known: Known): Promise<readonly string[]> {
  if (words.at(-1)?.startsWith('-') === true)
    return [
      ...command.options.filter(({ hidden }) => !hidden).map(({ long }) => long ?? ''),
      '--help',
    ].filter((word) => word !== '');
  if (command.name() === 'completion') return Object.keys(SCRIPTS);
  if (command.name() === 'explain') return explainable(words, known);
  return command.commands.map((one) => one.name());
}

/** The kinds, and behind a kind what there is of it. */
async function explainable(words: readonly string[], known: Known): Promise<readonly string[]> {
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

async function valuesOf(option: Option, before: readonly string[], known: Known): Promise<readonly string[]> {
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

function contexts(): readonly string[] {
  try {
    return contextNames();
  } catch {
    return [];
  }
}

/** Longer than this nobody waits for a suggestion, milliseconds. */
const LINKS_MS = 1500;

async function linkNames(before: readonly string[]): Promise<readonly string[]> {
  const valueOf = (flag: string) => {
    const at = before.lastIndexOf(flag);
    return at < 0 ? undefined : before[at + 1];
  };
  const { withClient } = await import('../flags/cluster-flags.ts');
  const { links } = await import('../../api/link/link-schema.ts');
  const { DEFAULT_NAMESPACE } = await import('../../api/names.ts');
  const namespace = valueOf('--controller-namespace') ?? DEFAULT_NAMESPACE;
  const cluster = { kubeconfig: valueOf('--kubeconfig'), context: valueOf('--context') };
  try {
    const { items } = await withClient({ ...cluster, timeout: LINKS_MS }, (client) =>
      client.list(links, { namespace }),
    );
    return items.map(({ metadata }) => metadata?.name ?? '');
  } catch {
    return [];
  }
}
