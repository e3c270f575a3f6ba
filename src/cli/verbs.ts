import type { Command } from 'commander';
import { withExamples } from './examples.ts';

type Verb = () => Command;

const loaders: Readonly<Record<string, () => Promise<Verb>>> = {
  install: async () => (await import('./install.ts')).installCommand,
  upgrade: async () => (await import('./install.ts')).upgradeCommand,
  uninstall: async () => (await import('./uninstall.ts')).uninstallCommand,
  controller: async () => (await import('./controller.ts')).controllerCommand,
  signer: async () => (await import('./signer.ts')).signerCommand,
  gateway: async () => (await import('./gateway.ts')).gatewayCommand,
  egress: async () => (await import('./egress.ts')).egressCommand,
  'link-gen': async () => (await import('./link-gen.ts')).linkGenCommand,
  link: async () => (await import('./link.ts')).linkCommand,
  unlink: async () => (await import('./unlink.ts')).unlinkCommand,
  allow: async () => (await import('./allow.ts')).allowCommand,
  export: async () => (await import('./export.ts')).exportCommand,
  unexport: async () => (await import('./export.ts')).unexportCommand,
  check: async () => (await import('./check.ts')).checkCommand,
  gateways: async () => (await import('./gateways.ts')).gatewaysCommand,
  links: async () => (await import('./links.ts')).linksCommand,
  mirrors: async () => (await import('./mirrors.ts')).mirrorsCommand,
  explain: async () => (await import('./explain.ts')).explainCommand,
  identity: async () => (await import('./identity.ts')).identityCommand,
  completion: async () => (await import('./completion.ts')).completionCommand,
  complete: async () => (await import('./completion.ts')).completeCommand,
  'label-namespace': async () => (await import('./label-namespace.ts')).labelNamespaceCommand,
  version: async () => (await import('./version.ts')).versionCommand,
};

/**
 * Every verb of the CLI, in the order in which `--help` lists them. Each is loaded when it is asked for: a gateway that loads what only the controller needs would keep it in memory for as long as it
 * runs.
 */
export const verbs: Readonly<Record<string, () => Promise<Verb>>> = Object.fromEntries(
  Object.entries(loaders).map(([name, load]) => [
    name,
    async () => {
      const verb = await load();
      return () => withExamples(verb());
    },
  ]),
);

/** Verbs for machines. */
export const HIDDEN: ReadonlySet<string> = new Set(['complete', 'label-namespace']);

/** The verb that a command line names, or all of them: for the list of verbs, and for a guess at what was meant. */
export async function verbsFor(asked: string | undefined): Promise<Verb[]> {
  const one = asked === undefined || !Object.hasOwn(verbs, asked) ? undefined : verbs[asked];
  return Promise.all((one === undefined ? Object.values(verbs) : [one]).map((load) => load()));
}
