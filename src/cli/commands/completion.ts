import { Command } from 'commander';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { contextNames } from '../../kube/client/kubeconfig.ts';
import { SCRIPTS } from '../completion/completion-scripts.ts';
import { suggestions } from '../completion/suggestions.ts';

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

/** Loaders of all verbs, by name. */
export type Verbs = Readonly<Record<string, () => Promise<() => Command>>>;

/** `linkspan complete -- WORDS…`: the words that may follow, one a line. What the scripts run. */
export function completeCommand(verbs: Verbs, hidden: ReadonlySet<string>): Command {
  return new Command('complete')
    .description('print what may follow the given words (run by completion scripts)')
    .argument('[words...]')
    .allowUnknownOption()
    .action(async (words: string[]) => {
      const shown = Object.keys(verbs).filter((name) => !hidden.has(name));
      // Completion must be fast, so only the verb that is being typed is loaded.
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

function contexts(): readonly string[] {
  try {
    return contextNames();
  } catch {
    return [];
  }
}

/** Timeout for names of Links, milliseconds. */
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
