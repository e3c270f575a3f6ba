import { Command, Option } from 'commander';
import { z } from 'zod';
import { MAX_DRILL_MS } from '../../api/failover/connection-drill.ts';
import { LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { parseFlags } from '../../base/config.ts';
import { systemClock } from '../../base/clock.ts';
import { readAbortRule } from '../../drains/abort-rule.ts';
import {
  beginConnectionDrill,
  type DrillPlace,
  endConnectionDrill,
  standingDrill,
} from '../../drains/drill-write.ts';
import { applyDrain, assertSafe } from '../../drains/drain-apply.ts';
import {
  type DrainPlan,
  planDrain,
  planUndrain,
  type ServicesThere,
  servicesThere,
  standingDrain,
} from '../../drains/drain-plan.ts';
import { DRILL_KINDS, drillReport, type LeadsThere } from '../../drains/drill-report.ts';
import { type DrillRecord, type DrillStage, runDrill } from '../../drains/drill-run.ts';
import { readEgressPages } from '../../drains/egress-pages.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { links } from '../../api/link/link-schema.ts';
import { services as serviceKind } from '../../api/kubernetes/resource.ts';
import { dnsLabel } from '../flags/link-flags.ts';
import { DEFAULT_GATEWAY_NAME, DEFAULT_NAMESPACE } from '../../api/names.ts';
import {
  clusterFlags,
  durationFlag,
  openCluster,
  withClient,
  withClusterFlags,
} from '../flags/cluster-flags.ts';
import { egressFlag, percentFlag, serverTime } from '../flags/drain-flags.ts';
import { timeText } from '../../policy/failover/drain-words.ts';
import { drillText } from '../output/drill-text.ts';
import { outputFlag, render } from '../output/output.ts';
import { tellDrain } from '../output/drain-news.ts';
import { Progress } from '../output/terminal.ts';
import { failoverRows, readAllFailover, readFailover } from '../queries/failover-rows.ts';

const schema = z
  .strictObject({
    ...clusterFlags,
    cluster: z.string().min(1),
    kind: z.enum(DRILL_KINDS),
    share: percentFlag,
    ramp: durationFlag,
    for: durationFlag.refine((ms) => ms > 0 && ms <= MAX_DRILL_MS, { error: 'must be 1h at most' }),
    abortOn: z.string().transform((text, context) => {
      const rule = readAbortRule(text);
      if (rule !== undefined) return rule;
      context.addIssue({ code: 'custom', message: `"${text}" is not of the form errors>1%,p99>2x` });
      return z.NEVER;
    }),
    force: z.boolean().default(false),
    controllerNamespace: z.string(),
    targetContext: z.string().optional(),
    targetKubeconfig: z.string().optional(),
    gatewayName: dnsLabel,
    gatewayNamespace: dnsLabel,
    egress: egressFlag,
    output: outputFlag,
  })
  .refine(({ kind, share }) => kind === 'drain' || share === 1, {
    message: '--share goes with --kind drain: connections are taken for dead, or they are not',
  })
  .refine(({ kind, ...flags }) => kind !== 'endpoints' || (flags.targetContext ?? flags.targetKubeconfig), {
    message:
      '--kind endpoints needs --target-context or --target-kubeconfig: it is said to the gateway there',
  })
  .refine(({ kind, ramp, for: forMs }) => kind !== 'drain' || ramp < forMs, {
    message: '--ramp must be shorter than --for',
  });
type Settings = z.output<typeof schema>;

/**
 * How long after the end of a drill is looked whether traffic comes back well, beside the ramp; milliseconds.
 */
const AFTER_MS = 5000;

/**
 * How much later than ours the end is that stands in the object, milliseconds. It is for the case that this
 * program dies, and is counted from the server's time, which comes in whole seconds: without, a cluster was
 * back up to a second before the report took it for back, and the drill had failed.
 */
const SLACK_MS = 5000;

/**
 * `linkspan drill`: takes a cluster away for some minutes to see whether clients notice, and says what
 * happened. Its end stands in the Link from the start, so that nothing stays when this program dies.
 */
export function drillCommand(): Command {
  const cluster = withClusterFlags(
    new Command('cluster')
      .description('take a cluster away for some minutes, and report what became of requests')
      .argument('<cluster>', 'the cluster, as its Link calls it')
      .addOption(
        new Option(
          '--kind <kind>',
          'drain: it is drained; fail: the egress takes connections to it for dead; endpoints: its gateway, with --allow-fault-injection, refuses as if no endpoint were ready',
        )
          .choices(DRILL_KINDS)
          .default('drain'),
      )
      .option('--share <part>', 'with drain: which part of its share is taken away', '100%')
      .option('--ramp <time>', 'with drain: how long its share takes to fall, and to grow again', '10s')
      .option('--for <time>', 'how long it is away, an hour at most', '5m')
      .option('--abort-on <rule>', 'when it is given up: errors>1%,p99>2x', 'errors>1%')
      .option('--force', 'do it although the safety rule refuses')
      .option('--controller-namespace <ns>', 'namespace of the installation', DEFAULT_NAMESPACE)
      .option('--target-context <name>', 'with endpoints: context of the target cluster')
      .option('--target-kubeconfig <file>', 'with endpoints: its kubeconfig (default: as --kubeconfig)')
      .option('--gateway-name <name>', 'with endpoints: name of the gateway Service', DEFAULT_GATEWAY_NAME)
      .option('--gateway-namespace <ns>', 'with endpoints: its namespace', DEFAULT_NAMESPACE)
      .option('--egress <urls>', 'admin ports of the egress (with commas), instead of asking its pods')
      .option('-o, --output <format>', 'table, json or yaml', 'table'),
    'source cluster',
  ).action(async (name: string, options: object) => {
    const settings = parseFlags(schema, { ...options, cluster: name }, 'drill cluster');
    await withClient(settings, (client) => drill(client, settings));
  });
  return new Command('drill')
    .description('try out whether clients notice when a cluster is gone')
    .addCommand(cluster);
}

async function drill(client: KubeClient, settings: Settings): Promise<void> {
  const { cluster, kind, force, abortOn, output, ramp } = settings;
  const { plan, services } = await planOf(client, settings);
  assertUndrained(plan, cluster);
  assertUndrilled(plan, cluster);
  if (!force) assertSafe(plan);
  if (services.size === 0)
    throw new LinkspanError(
      'DRAIN_NO_MEMBER',
      `no federated Service, and none without selector, is served by ${cluster}`,
    );
  const target = openTarget(settings);
  const place = wordPlace(client, target, settings, plan);
  const stopping = new AbortController();
  const stop = () => stopping.abort(new Error('interrupted'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  const progress = new Progress();
  try {
    const stage = {
      ...(kind === 'drain' ? drainStage(client, settings) : await wordStage(place, settings)),
      clock: systemClock,
      signal: stopping.signal,
      look: () => look(client, settings),
      onLook: (left: number) => progress.show(`drill of ${cluster}, ${Math.ceil(left / 1000)}s left`),
    };
    const afterMs = AFTER_MS + (kind === 'drain' ? ramp : 0);
    const record = await runDrill(stage, { forMs: settings.for, afterMs, rule: abortOn });
    progress.clear();
    const leads: LeadsThere = (service, backend) =>
      backend === cluster || services.get(service)?.has(backend) === true;
    const subject = { cluster, kind, services: [...services.keys()], mayFail: abortOn.errors ?? 0, leads };
    const report = drillReport(record, subject);
    // Before anything is printed: a reader that is gone makes no success of it.
    if (report.verdict !== 'PASSED') process.exitCode = 1;
    process.stdout.write(render(output, report, () => drillText(report)));
    const message = [`drill "${kind}" of ${cluster}: ${report.verdict}`, ...report.reasons].join('; ');
    const news = { reason: 'DrillReport', message, isWarning: report.verdict !== 'PASSED' } as const;
    await tellDrain(client, plan.write, news);
    assertEnded(record, cluster);
  } finally {
    await target?.close();
    progress.clear();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
  }
}

/** What the report says may have passed by whoever reads its verdict only: something has to be done. */
function assertEnded({ blind, notEnded }: DrillRecord, cluster: string): void {
  if (notEnded !== undefined)
    throw new LinkspanError('DRILL_NOT_ENDED', `the drill of ${cluster}: ${messageOf(notEnded)}`, {
      cause: notEnded,
    });
  if (blind !== undefined)
    throw new LinkspanError('DRILL_BLIND', `the drill of ${cluster} was ended: ${blind}`);
}

/**
 * A drill ends soon, and would give back what somebody wants to be away, or end another drill before its
 * time.
 */
function assertUndrained({ before, at }: DrainPlan, cluster: string): void {
  if (before !== undefined && before.until > at)
    refuse(before.drill ? 'drilled' : 'drained', before, cluster);
}

/**
 * Of two drills that take connections for dead the second would replace the first, whose report is wrong
 * then.
 */
function assertUndrilled({ write, at }: DrainPlan, cluster: string): void {
  const other = standingDrill(write.on, at);
  if (other !== undefined) refuse('drilled', other, cluster);
}

function refuse(
  what: 'drained' | 'drilled',
  { by, until }: { readonly by?: string; readonly until: number },
  cluster: string,
): never {
  const who = by === undefined ? '' : ` by ${by}`;
  throw new LinkspanError('DRILL_DRAINED', `${cluster} is ${what}${who} until ${timeText(until)}`);
}

/** A client of the target cluster, where something is said there; to be closed. */
function openTarget({ kind, kubeconfig, targetContext, targetKubeconfig, verbose }: Settings) {
  if (kind !== 'endpoints') return undefined;
  return openCluster({ kubeconfig: targetKubeconfig ?? kubeconfig, context: targetContext, verbose }).client;
}

async function planOf(
  client: KubeClient,
  settings: Settings,
): Promise<{ readonly plan: DrainPlan; readonly services: ServicesThere }> {
  const { cluster, kind, share, ramp, for: forMs } = settings;
  const rampMs = kind === 'drain' ? ramp : 0;
  const wish = { to: 1 - share, rampMs, lastsMs: standsFor(forMs), drill: true, by: process.env['USER'] };
  // To sidecars nothing is dead where the egress takes it for that.
  const weighted = kind === 'fail' ? undefined : 'all';
  const objects = await readAllFailover(client, undefined, settings.controllerNamespace, weighted);
  const plan = planDrain(objects, { cluster }, wish, await serverTime(client));
  return { plan, services: servicesThere(objects, cluster) };
}

function drainStage(client: KubeClient, settings: Settings): Pick<DrillStage, 'begin' | 'end'> {
  const { cluster, controllerNamespace, force } = settings;
  /** By their ends: of a write whose answer was lost nobody knows whether it was carried out. */
  const own = new Set<number>();
  return {
    begin: async () => {
      const plan = async () => (await planOf(client, settings)).plan;
      const isSafe = ({ findings }: DrainPlan) => force || findings.length === 0;
      const { plan: planned, written } = await applyDrain(client, plan, (one) => {
        if (!own.has(one.before?.until ?? 0)) assertUndrained(one, cluster);
        if (!isSafe(one)) return false;
        own.add(one.drain.until);
        return true;
      });
      if (!written) assertSafe(planned);
    },
    end: async () => {
      const plan = async () => {
        const objects = await readFailover(client, undefined, controllerNamespace);
        // Somebody may have begun to drain it in earnest meanwhile, or have ended this drill for another.
        const standing = standingDrain(objects, { cluster });
        if (standing?.drill !== true || !own.has(standing.until)) return { write: undefined };
        return { write: planUndrain(objects, { cluster }, await serverTime(client)) };
      };
      await applyDrain(client, plan, () => true);
    },
  };
}

function standsFor(forMs: number): number {
  return Math.min(forMs + SLACK_MS, MAX_DRILL_MS);
}

/** Where the word of a drill is written, and by whom. */
interface WordPlace {
  readonly client: KubeClient;
  readonly place: DrillPlace;
}

async function wordStage(
  { client, place }: WordPlace,
  { kind, for: forMs }: Settings,
): Promise<Pick<DrillStage, 'begin' | 'end'>> {
  const start = await serverTime(client);
  const by = process.env['USER'];
  const said = kind === 'endpoints' ? kind : 'fail';
  const made = {
    kind: said,
    start,
    until: start + standsFor(forMs),
    ...(by === undefined ? {} : { by }),
  } as const;
  return {
    begin: () => beginConnectionDrill(client, place, made),
    end: () => endConnectionDrill(client, place, made),
  };
}

/** The Link here, or the gateway's Service there. */
function wordPlace(
  client: KubeClient,
  target: KubeClient | undefined,
  settings: Settings,
  plan: DrainPlan,
): WordPlace {
  const { namespace = '', name = '' } = plan.write.on.metadata ?? {};
  if (target === undefined) return { client, place: { resource: links, namespace, name } };
  const { gatewayNamespace, gatewayName } = settings;
  return { client: target, place: { resource: serviceKind, namespace: gatewayNamespace, name: gatewayName } };
}

async function look(client: KubeClient, settings: Settings) {
  const { cluster, kind, controllerNamespace: namespace, egress: urls } = settings;
  const [pages, objects, now] = await Promise.all([
    readEgressPages(client, { namespace, urls }),
    readFailover(client, undefined, namespace),
    serverTime(client),
  ]);
  const rows = failoverRows(objects, now, new Set(kind === 'drain' ? [] : [cluster]));
  const short = rows.filter(({ endpointsShort }) => endpointsShort);
  return {
    ...pages,
    short: new Map(short.map((row) => [`${row.namespace}/${row.service}`, row.capacityRatio])),
  };
}
