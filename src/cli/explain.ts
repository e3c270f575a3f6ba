import { Command } from 'commander';
import { z } from 'zod';
import { parseFlags } from '../base/config.ts';
import { LinkspanError } from '../base/errors.ts';
import { DEFAULT_NAMESPACE } from '../base/names.ts';
import type { Explanation, LinkReport } from '../mirror/explain.ts';
import { askControllers, controllerFlags } from './controllers.ts';
import { explainLinkText } from './explain-link.ts';
import { codeText, meaningOfCode, meaningsOf, reasonText } from './explain-words.ts';
import { clusterFlags, withClient, withClusterFlags } from './flags.ts';
import { readLinks } from './links.ts';
import { mergeReports } from './mirrors.ts';
import { age, outputFlag, render } from './output.ts';

const schema = z.strictObject({
  ...clusterFlags,
  ...controllerFlags,
  namespace: z.string(),
  link: z.string().optional(),
  output: outputFlag,
});

type Flags = z.output<typeof schema>;

/** What can be explained, by the words that kubectl's users try. */
const KINDS: Readonly<Record<string, (name: string, flags: Flags) => Promise<void>>> = {
  svc: explainService,
  service: explainService,
  services: explainService,
  link: explainLink,
  links: explainLink,
  reason: (name, { output }) => print(output, meaningsOf(name), reasonText),
  error: (name, { output }) => print(output, meaningOfCode(name), codeText),
};

/** `linkspan explain svc|link|reason|error NAME`: why a Service or a Link is as it is, what a word of Linkspan means. */
export function explainCommand(): Command {
  const command = new Command('explain')
    .description('say why a Service or a Link is as it is, or what a reason or an error code means')
    .argument('<kind>', 'svc, link, reason or error')
    .argument(
      '<name>',
      'the Service over there, its mirror, or the federated Service; the Link; the reason; the code',
    )
    .option('-n, --namespace <ns>', 'namespace of the Service', 'default')
    .option('--link <name>', 'svc: only this Link')
    .option('--controller-namespace <ns>', 'namespace of the controller and the Links', DEFAULT_NAMESPACE)
    .option('--controller <urls>', "the controllers' admin ports, instead of their pods")
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .addHelpText(
      'after',
      `
Examples:
  linkspan explain svc web -n shop --context east
  linkspan explain link west
  linkspan explain reason GatewayDead
  linkspan explain error CONTROLLER_NOT_FOUND`,
    );
  return withClusterFlags(command, 'source').action(async (kind: string, name: string, options: unknown) => {
    const flags = parseFlags(schema, options, 'explain');
    const explain = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
    if (explain === undefined)
      throw new LinkspanError(
        'CONFIG_INVALID',
        `explain: "${kind}" cannot be explained, only svc, link, reason and error can`,
      );
    await explain(name, flags);
  });
}

function print<T>(output: Flags['output'], value: T, text: (value: T) => string): Promise<void> {
  process.stdout.write(render(output, value, () => text(value)));
  return Promise.resolve();
}

/** Asks the API server only, so it also works when no controller runs. */
async function explainLink(name: string, flags: Flags): Promise<void> {
  const rows = await withClient(flags, (client) => readLinks(client, flags.controllerNamespace));
  const found = rows.find((row) => row.name === name) ?? rows.find(({ cluster }) => cluster === name);
  if (found !== undefined) return print(flags.output, found, explainLinkText);
  const names = rows.map((row) => row.name).join(', ');
  throw new LinkspanError(
    'LINK_NOT_FOUND',
    `no Link "${name}" in namespace ${flags.controllerNamespace} (there are: ${names === '' ? 'none' : names})`,
    { hint: 'Check --controller-namespace, and that --context is the source cluster.' },
  );
}

async function explainService(name: string, flags: Flags): Promise<void> {
  await withClient(flags, async (client) => {
    const query = new URLSearchParams({ namespace: flags.namespace, name });
    const asked = await askControllers<Explanation>(client, flags, `/explain?${query.toString()}`);
    const found = asked.answers.filter(
      ({ link }) => flags.link === undefined || link.endsWith(`/${flags.link}`),
    );
    const told = relevant(found);
    const { answers: links } = await askControllers<LinkReport>(client, flags, '/mirrors');
    process.stdout.write(
      render(flags.output, told, () => explainText(told, mergeReports(links), `${flags.namespace}/${name}`)),
    );
  });
}

/** Where some cluster exports the name, the ones that do not are of no interest. */
function relevant(found: readonly Explanation[]): Explanation[] {
  const exported = found.filter((one) => one.exported || one.clusterIP !== null);
  return (exported.length > 0 ? exported : [...found]).sort((a, b) => (a.link < b.link ? -1 : 1));
}

/** The text for people. */
export function explainText(
  found: readonly Explanation[],
  links: readonly LinkReport[],
  name: string,
): string {
  const silent = links
    .filter(({ mirrors }) => mirrors === undefined)
    .map(({ link, problem }) => `Link ${link}: ${problem ?? 'the replica that keeps it did not answer'}\n`);
  if (found.length === 0 && silent.length === 0)
    return `There is no Link, so nothing can be said of ${name}.\n`;
  return [...found.map(explanationText), ...silent].join('\n');
}

function explanationText(one: Explanation): string {
  const lines: [string, string][] = [
    [one.kind === 'mirror' ? 'Mirror' : 'Federated', `${one.service.split('/')[0] ?? ''}/${one.local}`],
    ['Of', `${one.service} in cluster ${one.cluster} (Link ${one.link})`],
    ['Exported', one.exported ? `yes, by ${one.selectedBy ?? ''}` : 'no'],
    ['Mode', one.mode],
    ['Namespace', one.namespace],
    ['Verdict', one.message === '' ? one.reason : `${one.reason}: ${one.message}`],
    ['', one.meaning],
    ['Over there', remoteText(one)],
    ['Here', hereText(one)],
    ['Gateway', gatewayText(one)],
    ['Last word', lastWordText(one)],
  ];
  return lines.map(([label, text]) => `${label.padEnd(12)}${text}\n`).join('');
}

function remoteText({ remote, exported }: Explanation): string {
  if (!exported) return '-';
  if (!remote.certain) return 'endpoints not known yet';
  return `${remote.ready} of ${remote.known} endpoints ready`;
}

function hereText({ clusterIP, endpoints }: Explanation): string {
  if (clusterIP === null) return 'no Service';
  return `${clusterIP}, endpoints: ${endpoints.length === 0 ? 'none' : endpoints.join(', ')}`;
}

function gatewayText({ gateway }: Explanation): string {
  if (gateway === null || gateway === undefined) return 'none';
  const addresses = gateway.addresses.map(({ address, state, reason, message, latencyMs }) => {
    const why = reason === undefined ? '' : ` ${reason}${message === '' ? '' : ` (${message})`}`;
    const latency = state === 'alive' && latencyMs !== undefined ? ` ${latencyMs.toFixed(1)} ms` : '';
    return `${address} ${state}${latency}${state === 'alive' ? '' : why}`;
  });
  return addresses.length === 0 ? gateway.path : `${gateway.path}: ${addresses.join(', ')}`;
}

function lastWordText({ lastWordSeconds, apiError, synced }: Explanation): string {
  const heard = lastWordSeconds === null ? 'never' : `${age(lastWordSeconds)} ago`;
  const list = synced ? '' : ', the first complete list has not arrived';
  return `${heard}${list}${apiError === null ? '' : `; API server not reachable: ${apiError}`}`;
}
