import type { Command } from 'commander';
import { withExamples } from './output/examples.ts';

type Verb = () => Command;

const loaders: Readonly<Record<string, () => Promise<Verb>>> = {
  install: async () => (await import('./commands/install.ts')).installCommand,
  upgrade: async () => (await import('./commands/install.ts')).upgradeCommand,
  uninstall: async () => (await import('./commands/uninstall.ts')).uninstallCommand,
  controller: async () => (await import('./commands/controller.ts')).controllerCommand,
  signer: async () => (await import('./commands/signer.ts')).signerCommand,
  gateway: async () => (await import('./commands/gateway.ts')).gatewayCommand,
  egress: async () => (await import('./commands/egress.ts')).egressCommand,
  'link-gen': async () => (await import('./commands/link-gen.ts')).linkGenCommand,
  link: async () => (await import('./commands/link.ts')).linkCommand,
  unlink: async () => (await import('./commands/unlink.ts')).unlinkCommand,
  allow: async () => (await import('./commands/allow.ts')).allowCommand,
  export: async () => (await import('./commands/export.ts')).exportCommand,
  unexport: async () => (await import('./commands/export.ts')).unexportCommand,
  check: async () => (await import('./commands/check.ts')).checkCommand,
  gateways: async () => (await import('./commands/gateways.ts')).gatewaysCommand,
  links: async () => (await import('./commands/links.ts')).linksCommand,
  mirrors: async () => (await import('./commands/mirrors.ts')).mirrorsCommand,
  stat: async () => (await import('./commands/stat.ts')).statCommand,
  edges: async () => (await import('./commands/edges.ts')).edgesCommand,
  top: async () => (await import('./commands/top.ts')).topCommand,
  routes: async () => (await import('./commands/routes.ts')).routesCommand,
  proxies: async () => (await import('./commands/proxies.ts')).proxiesCommand,
  tap: async () => (await import('./commands/tap.ts')).tapCommand,
  dashboard: async () => (await import('./commands/dashboard.ts')).dashboardCommand,
  failover: async () => (await import('./commands/failover.ts')).failoverCommand,
  drain: async () => (await import('./commands/drain.ts')).drainCommand,
  undrain: async () => (await import('./commands/drain.ts')).undrainCommand,
  drill: async () => (await import('./commands/drill.ts')).drillCommand,
  explain: async () => (await import('./commands/explain.ts')).explainCommand,
  identity: async () => (await import('./commands/identity.ts')).identityCommand,
  completion: async () => (await import('./commands/completion.ts')).completionCommand,
  complete: async () => {
    const { completeCommand } = await import('./commands/completion.ts');
    return () => completeCommand(verbs, HIDDEN);
  },
  'label-namespace': async () => (await import('./commands/label-namespace.ts')).labelNamespaceCommand,
  version: async () => (await import('./commands/version.ts')).versionCommand,
};

/**
 * Every verb of the CLI, in the order in which `--help` lists them. Each is loaded only when it is used:
 * otherwise a gateway would keep the controller's code in memory for as long as it runs.
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

/**
 * How help texts are set. Commander wraps no text of a verb whose longest flag leaves less than this to it,
 * in columns; its own value, 40, let the texts of some verbs run over 80 columns while those of others
 * wrapped.
 */
export const HELP_FORMAT = { minWidthToWrap: 20 } as const;

/** Verbs that `--help` does not list, because only programs call them. */
export const HIDDEN: ReadonlySet<string> = new Set(['complete', 'label-namespace']);

/**
 * The verb that a command line names; all of them where it names none, to list them or to suggest the
 * nearest.
 */
export async function verbsFor(asked: string | undefined): Promise<Verb[]> {
  const one = asked === undefined || !Object.hasOwn(verbs, asked) ? undefined : verbs[asked];
  return Promise.all((one === undefined ? Object.values(verbs) : [one]).map((load) => load()));
}
