import { Command } from 'commander';
import { z } from 'zod';
import { nearest, parseFlags } from '../../base/config.ts';
import { LinkspanError } from '../../api/errors/linkspan-error.ts';
import { MIRRORS_PAGE, explainPage } from '../../api/answers/admin-answers.ts';
import { services } from '../../api/kubernetes/resource.ts';
import { systemClock } from '../../base/clock.ts';
import { isForbidden, type KubeClient, orUndefined } from '../../kube/client/kube-client.ts';
import { apexText } from '../output/apex-text.ts';
import { explainText, relevantExplanations } from '../output/explanation-text.ts';
import { linkText } from '../output/link-text.ts';
import {
  askControllers,
  controllerFlags,
  type ControllerFlags,
  mergeReports,
  tellFailures,
  tellUnread,
  withControllerFlags,
} from '../queries/controller-answers.ts';
import { failoverRows, readAllFailover } from '../queries/failover-rows.ts';
import { gatherLinks } from '../queries/link-rows.ts';
import {
  allCodes,
  allReasons,
  codeLines,
  codesTable,
  codeText,
  reasonLines,
  reasonsTable,
  reasonText,
} from '../output/explain-words.ts';
import {
  clusterFlags,
  timeoutFlag,
  withClient,
  withClusterFlags,
  withTimeoutFlag,
} from '../flags/cluster-flags.ts';
import { type Output, outputFlag, render } from '../output/output.ts';

const schema = z.strictObject({
  ...clusterFlags,
  ...controllerFlags,
  namespace: z.string(),
  link: z.string().optional(),
  timeout: timeoutFlag,
  output: outputFlag,
});
type Settings = z.output<typeof schema>;

/** Kinds that can be explained, each with the function that returns the text. */
const KINDS: Readonly<
  Record<string, (name: string | undefined, flags: Settings) => string | Promise<string>>
> = {
  svc: (name, flags) => {
    const service = named(name);
    return withClient(flags, (client) => explainService(client, flags, service));
  },
  link: (name, flags) => {
    const link = named(name);
    return withClient(flags, (client) => explainLink(client, flags, link));
  },
  reason: (name, { output }) => {
    if (name === undefined) return render(output, allReasons(), () => reasonsTable(allReasons()));
    const text = reasonText(name);
    return render(output, text, () => reasonLines(text));
  },
  error: (name, { output }) => {
    if (name === undefined) return render(output, allCodes(), () => codesTable(allCodes()));
    const text = codeText(name);
    return render(output, text, () => codeLines(text));
  },
};
/** As kubectl takes them. */
const ALIASES = new Map([
  ['service', 'svc'],
  ['services', 'svc'],
  ['links', 'link'],
]);

/** `linkspan explain KIND NAME`: why something is as it is, and what a word means that Linkspan uses. */
export function explainCommand(): Command {
  const command = withControllerFlags(
    new Command('explain')
      .description('say why a Service or a Link is as it is, or what a reason or an error code means')
      .argument('<kind>', 'svc, link, reason or error')
      .argument(
        '[name]',
        'of the Service over there, of its mirror or the federated Service; or the word (none: all words)',
      )
      .option('-n, --namespace <ns>', 'namespace of the Service (svc)', 'default')
      .option('--link <name>', 'only this Link (svc)'),
  ).option('-o, --output <format>', 'table, json or yaml', 'table');
  return withClusterFlags(withTimeoutFlag(command), 'source cluster').action(
    async (kind: string, name: string | undefined, options: unknown) => {
      const flags = parseFlags(schema, options, 'explain');
      process.stdout.write(await explainer(kind)(name, flags));
    },
  );
}

function explainer(kind: string) {
  const known = ALIASES.get(kind) ?? kind;
  const explain = Object.hasOwn(KINDS, known) ? KINDS[known] : undefined;
  if (explain !== undefined) return explain;
  const near = nearest(kind, Object.keys(KINDS));
  throw new LinkspanError(
    'USAGE',
    `explain: "${kind}" cannot be explained, only ${Object.keys(KINDS).join(', ')}${near === undefined ? '' : ` (did you mean "${near}"?)`}`,
    { hint: HELP },
  );
}

const HELP = '`linkspan explain --help` says what there is.';

/** The name of what only one of can be explained at a time. @throws LinkspanError USAGE */
function named(name: string | undefined): string {
  if (name !== undefined) return name;
  throw new LinkspanError('USAGE', "missing required argument 'name'", { hint: HELP });
}

/**
 * Why a Link is as it is, from its conditions and what its controller says.
 * @throws LinkspanError LINK_NOT_FOUND
 */
async function explainLink(
  client: KubeClient,
  flags: ControllerFlags & { readonly output: Output },
  name: string,
): Promise<string> {
  const { rows, failures } = await gatherLinks(client, flags, true);
  tellFailures(failures);
  const row = rows.find((one) => one.name === name) ?? rows.find((one) => one.cluster === name);
  if (row === undefined)
    throw new LinkspanError(
      'LINK_NOT_FOUND',
      `namespace ${flags.controllerNamespace} has no Link "${name}"${rows.length === 0 ? '' : `, only ${rows.map((one) => one.name).join(', ')}`}`,
      { hint: 'Check --controller-namespace, and that --context is the source cluster.' },
    );
  return render(flags.output, row, () => linkText(row));
}

/** Flags of `explain service`. */
interface ServiceFlags extends ControllerFlags {
  readonly namespace: string;
  readonly link?: string | undefined;
  readonly output: Output;
}

/**
 * Asks the controllers about a Service and returns the text.
 * @throws LinkspanError CONTROLLER_NOT_FOUND
 */
async function explainService(client: KubeClient, flags: ServiceFlags, name: string): Promise<string> {
  const [asked, { answers: links }] = await Promise.all([
    askControllers(client, flags, explainPage({ namespace: flags.namespace, name })),
    askControllers(client, flags, MIRRORS_PAGE),
  ]);
  tellFailures(asked.failures);
  const told = relevantExplanations(
    asked.answers.filter(({ link }) => flags.link === undefined || link.endsWith(`/${flags.link}`)),
  );
  const led = flags.output === 'table' ? await ledElsewhere(client, flags, name) : undefined;
  const isMirrored = told.some(({ exported, clusterIP }) => exported || clusterIP !== null);
  if (led !== undefined && !isMirrored) return led;
  const text = () => explainText(told, mergeReports(links), `${flags.namespace}/${name}`);
  return `${led === undefined ? '' : `${led}\n`}${render(flags.output, told, text)}`;
}

/** What became of a user's Service that leads elsewhere; undefined: it does not, and need not. */
async function ledElsewhere(
  client: KubeClient,
  { namespace, controllerNamespace }: ServiceFlags,
  name: string,
): Promise<string | undefined> {
  const service = await orUndefined(client.get(services, { namespace, name })).catch((error: unknown) => {
    // Controllers may be asked without a right to read Services.
    if (isForbidden(error)) return undefined;
    throw error;
  });
  const now = (await client.serverTime()) ?? systemClock.now();
  if (service === undefined || apexText(service, [], now) === undefined) return undefined;
  const objects = await readAllFailover(client, namespace, controllerNamespace);
  tellUnread(objects.unread);
  const rows = failoverRows(objects, now);
  return apexText(service, rows, now);
}
