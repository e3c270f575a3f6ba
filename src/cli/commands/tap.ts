import { once } from 'node:events';
import { isIP } from 'node:net';
import { Command } from 'commander';
import { z } from 'zod';
import {
  DEFAULT_TAP_RPS,
  MAX_TAP_MS,
  MAX_TAP_RPS,
  readTapQuery,
  TAP_ACCOUNT,
  type TapFilter,
  tapQuery,
} from '../../api/answers/tap-events.ts';
import { codeOf, LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { links } from '../../api/link/link-schema.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { DEFAULT_NAMESPACE } from '../../api/names.ts';
import { parseFlags } from '../../base/config.ts';
import { systemClock } from '../../base/clock.ts';
import { formatDuration } from '../../base/duration.ts';
import { plainText } from '../../base/text.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { contextsFlags, durationFlag, withClient, withContextsFlags } from '../flags/cluster-flags.ts';
import { fieldTemplate } from '../output/field-template.ts';
import { jsonText } from '../output/output.ts';
import { tapLine } from '../output/tap-text.ts';
import { tapCluster, type TapListener, type TapWord } from '../queries/tap-streams.ts';

const KINDS = ['svc', 'mirror', 'link', 'client'] as const;

const schema = z.strictObject({
  ...contextsFlags,
  controllerNamespace: z.string(),
  tapAccount: z
    .string()
    .regex(/^[^/\s]+\/[^/\s]+$/, { error: 'must be <namespace>/<account>' })
    .optional(),
  namespace: z.string().optional(),
  from: z.string().optional(),
  to: z.string().optional(),
  method: z.string().optional(),
  path: z.string().optional(),
  status: z.string().optional(),
  failures: z.boolean().default(false),
  minLatency: durationFlag.optional(),
  protocol: z.string().optional(),
  maxRps: z.string(),
  limit: z.coerce.number().int().min(1).optional(),
  for: durationFlag.refine((ms) => ms > 0 && ms <= MAX_TAP_MS, {
    error: `must be ${formatDuration(MAX_TAP_MS)} at most`,
  }),
  output: z.string().regex(/^(table|wide|json|jsonpath=.+)$/s, {
    error: 'must be table, wide, json or jsonpath=<template>',
  }),
});
type Flags = z.output<typeof schema>;

/** Exit code where some pod or cluster could not be asked. */
const PARTIAL = 3;

/** `linkspan tap`: requests as they pass gateways and egresses. */
export function tapCommand(): Command {
  const command = new Command('tap')
    .description(
      'show requests as they pass gateways and egresses, never their headers, bodies or queries; takes the ClusterRole linkspan-tap-user in the namespace of the installation',
    )
    .argument(
      '[what]',
      'only this: svc/<name>, mirror/<name>, link/<name> or client/<name> (identity, address)',
    )
    .option('-n, --namespace <ns>', 'only targets of this namespace (default: all)')
    .option('--from <glob>', 'only clients of this identity or address, * for any characters')
    .option('--to <glob>', 'only targets so named, <namespace>/<name> or <name>')
    .option('--method <list>', 'only these methods')
    .option('--path <prefix>', 'only paths that begin so')
    .option('--status <list>', 'only these statuses, such as 5xx,404')
    .option('--failures', 'only what failed')
    .option('--min-latency <time>', 'only what took so long, to its end')
    .option('--protocol <list>', 'only http1, http2, opaque')
    .option(
      '--max-rps <n>',
      `most for each second and pod, up to ${MAX_TAP_RPS}; more are counted as lost`,
      String(DEFAULT_TAP_RPS),
    )
    .option('--limit <n>', 'end after so many')
    .option('--for <time>', 'how long to look', formatDuration(MAX_TAP_MS))
    .option(
      '-o, --output <format>',
      'table, wide, json (a line for each event) or jsonpath=<template>',
      'table',
    )
    .option('--controller-namespace <ns>', 'namespace of the installation', DEFAULT_NAMESPACE)
    .option(
      '--tap-account <account>',
      `<namespace>/<account> whose token is asked for (default: ${TAP_ACCOUNT} of the installation)`,
    );
  return withContextsFlags(command).action(async (what: string | undefined, options: unknown) => {
    const flags = parseFlags(schema, options, 'tap');
    await run(what, flags, printerOf(flags));
  });
}

/** What becomes of a word: it is printed, somewhere, at the pace of the reader. */
interface Printer {
  print(cluster: string, word: TapWord): string;
}

async function run(what: string | undefined, flags: Flags, printer: Printer): Promise<void> {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort(new Error('interrupted')));
  const trouble = new Trouble();
  let left = flags.limit ?? Infinity;
  const word = async (cluster: string, said: TapWord) => {
    trouble.tellNow();
    if (left <= 0) return;
    if (said.event.type === 'flow' || said.event.type === 'open') left--;
    const line = printer.print(cluster, said);
    if (line !== '' && !process.stdout.write(line)) await once(process.stdout, 'drain');
    if (left <= 0) stop.abort(new Error('enough'));
  };
  const errors: unknown[] = [];
  const contexts = [...new Set(flags.context ?? [undefined])];
  const ask = async (context: string | undefined) => {
    const name = context ?? 'current';
    const listener: TapListener = {
      word: (said) => word(name, said),
      silent: (pod, why) => trouble.add(`${name}: ${pod}: ${why}`),
    };
    try {
      await withClient({ ...flags, context }, async (client) => {
        const filter = await filterOf(what, flags, client);
        const question = { ...installationOf(flags), filter, clock: systemClock, signal: stop.signal };
        await tapCluster(client, question, listener);
      });
    } catch (error) {
      errors.push(error);
      // Its pods are named one by one, where there are any.
      if (codeOf(error) !== 'TAP_REFUSED' || !trouble.isOf(name)) trouble.add(`${name}: ${messageOf(error)}`);
    }
  };
  await Promise.all(contexts.map(ask));
  if (errors.length === contexts.length) throw errors[0];
  trouble.tellNow();
  if (trouble.any) process.exitCode = PARTIAL;
}

/**
 * Who could not be asked, or is heard no longer. It is told as soon as anybody else is heard, and not when
 * all is over: that may take ten minutes. Where nobody is, the error that ends the verb says it.
 */
class Trouble {
  readonly #said: string[] = [];
  #waiting: string[] = [];
  #isHeard = false;

  get any(): boolean {
    return this.#said.length > 0;
  }

  isOf(cluster: string): boolean {
    return this.#said.some((text) => text.startsWith(`${cluster}: `));
  }

  add(text: string): void {
    this.#said.push(text);
    this.#waiting.push(text);
    if (this.#isHeard) this.tellNow();
  }

  tellNow(): void {
    this.#isHeard = true;
    for (const text of this.#waiting) tellApart(text);
    this.#waiting = [];
  }
}

function tellApart(text: string): void {
  process.stderr.write(`linkspan: ${plainText(text)}\n`);
}

function installationOf({ controllerNamespace, tapAccount }: Flags) {
  const account = tapAccount ?? `${controllerNamespace}/${TAP_ACCOUNT}`;
  return { namespace: controllerNamespace, account: parseKey(account) };
}

/** What is asked of each process. @throws LinkspanError CONFIG_INVALID */
async function filterOf(what: string | undefined, flags: Flags, client: KubeClient): Promise<TapFilter> {
  const { namespace, from, to, method, path, status, failures, minLatency, protocol, maxRps } = flags;
  const asked = {
    ...(what === undefined ? {} : await subjectOf(what, flags, client)),
    namespace,
    ...(from === undefined ? {} : { from }),
    to,
    method,
    path,
    status,
    failures,
    minLatencyMs: minLatency,
    protocol,
    maxRps,
    forMs: flags.for,
  };
  try {
    return readTapQuery(new URLSearchParams(tapQuery(asked as unknown as TapFilter)));
  } catch (error) {
    const said = messageOf(error).replace(/^\w+/, (key) => FLAG_OF[key] ?? `--${key}`);
    throw new LinkspanError('CONFIG_INVALID', `tap: ${said}`, { cause: error });
  }
}

/** What flags are called whose value has another name in the query. */
const FLAG_OF: Readonly<Record<string, string>> = {
  minLatencyMs: '--min-latency',
  maxRps: '--max-rps',
  forMs: '--for',
};

async function subjectOf(what: string, flags: Flags, client: KubeClient): Promise<Partial<TapFilter>> {
  const slash = what.indexOf('/');
  const kind = KINDS.find((one) => one === what.slice(0, slash));
  const name = what.slice(slash + 1);
  if (kind === undefined || name === '')
    throw new LinkspanError('CONFIG_INVALID', `tap: "${what}" is none of ${KINDS.join('/…, ')}/…`);
  if (kind === 'svc') return { service: name };
  if (kind === 'mirror') return { service: name, side: 'egress' };
  // An address is no beginning of another one: 10.0.0.1 of 10.0.0.10.
  if (kind === 'client') return { from: isIP(name) === 0 ? `${name}*` : name };
  const link = await client.get(links, { namespace: flags.controllerNamespace, name });
  return { cluster: link.spec?.targetClusterName ?? name, side: 'egress' };
}

function printerOf({ output }: Flags): Printer {
  if (output === 'json') return { print: (cluster, { pod, event }) => jsonText({ ...event, pod, cluster }) };
  if (output.startsWith('jsonpath=')) return templatePrinter(output.slice('jsonpath='.length));
  return textPrinter((flow) => tapLine(flow, output === 'wide'));
}

function templatePrinter(text: string): Printer {
  try {
    return textPrinter(fieldTemplate(text));
  } catch (error) {
    throw new LinkspanError('CONFIG_INVALID', `tap: --output: ${messageOf(error)}`, { cause: error });
  }
}

/** Flows on stdout, and what is no flow on stderr. */
function textPrinter(lineOf: (flow: Parameters<typeof tapLine>[0]) => string): Printer {
  return {
    print: (cluster, { pod, event }) => {
      if (event.type === 'flow' || event.type === 'open')
        return plainText(lineOf({ ...event, pod, cluster }));
      const who = `${cluster}/${pod}`;
      if (event.type === 'lost') tellApart(`${who}: ${event.count} are missing: more than can be shown`);
      if (event.type === 'end' && event.why !== 'time is over')
        tellApart(`${who}: ${event.why}: ${event.message ?? ''}`);
      return '';
    },
  };
}
