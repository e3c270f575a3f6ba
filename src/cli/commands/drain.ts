import type { V1Service } from '@kubernetes/client-node';
import { Command } from 'commander';
import { z } from 'zod';
import { describeError, type LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { systemClock } from '../../base/clock.ts';
import { plainText } from '../../base/text.ts';
import { parseFlags } from '../../base/config.ts';
import { DRAIN_RULE, troubleIn } from '../../drains/abort-rule.ts';
import { applyDrain, assertSafe } from '../../drains/drain-apply.ts';
import {
  type DrainObjects,
  type DrainPlan,
  drainOn,
  type DrainWrite,
  placeOf,
  planDrain,
  planPause,
  planUndrain,
} from '../../drains/drain-plan.ts';
import { waitForDrain } from '../../drains/drain-wait.ts';
import { readEgressPages } from '../../drains/egress-pages.ts';
import { RecentTraffic, silentTexts } from '../../drains/recent-traffic.ts';
import { endConnectionDrill, standingDrill } from '../../drains/drill-write.ts';
import type { ConnectionDrill } from '../../api/failover/connection-drill.ts';
import { services } from '../../api/kubernetes/resource.ts';
import { parseKey } from '../../api/mirror/mirror-names.ts';
import { links } from '../../api/link/link-schema.ts';
import { describedDrain, timeText } from '../../policy/failover/drain-words.ts';
import { isForbidden, type KubeClient, orUndefined } from '../../kube/client/kube-client.ts';
import { drainGatewayCommand, undrainGatewayCommand } from './drain-gateway.ts';
import { withClient } from '../flags/cluster-flags.ts';
import {
  drainPlaceFlags,
  drainWishFlags,
  egressFlag,
  serverTime,
  withDrainPlaceFlags,
  withDrainWishFlags,
} from '../flags/drain-flags.ts';
import {
  drainedText,
  drainRow,
  drainText,
  endedDrillText,
  undrainText,
  waitText,
} from '../output/drain-text.ts';
import { render } from '../output/output.ts';
import { Progress } from '../output/terminal.ts';
import { tellFailures } from '../queries/controller-answers.ts';
import { tellDrain } from '../output/drain-news.ts';
import { readAllFailover } from '../queries/failover-rows.ts';

const drainSchema = z
  .strictObject({
    ...drainPlaceFlags,
    ...drainWishFlags,
    cluster: z.string().min(1),
    wait: z.boolean().default(false),
    egress: egressFlag,
    force: z.boolean().default(false),
  })
  .refine(({ until, ramp }) => until > ramp, { message: '--until must be later than the end of --ramp' });
type DrainSettings = z.output<typeof drainSchema>;
const undrainSchema = z.strictObject({ ...drainPlaceFlags, cluster: z.string().min(1) });

/** `linkspan drain`: takes the traffic of a cluster away for a time. */
export function drainCommand(): Command {
  const cluster = withDrainPlaceFlags(
    withDrainWishFlags(
      new Command('cluster')
        .description(
          'send the requests of Services that are federated, or without selector, elsewhere than to a cluster, for a time',
        )
        .argument('<cluster>', 'the cluster, as its Link calls it'),
    )
      .option(
        '--wait',
        'wait until its share has fallen, and pause when too many responses are failures meanwhile',
      )
      .option('--egress <urls>', 'with --wait: admin ports of the egress (with commas), instead of its pods')
      .option('--force', 'do it although the safety rule refuses'),
  ).action(async (name: string, options: object) => {
    const settings = parseFlags(drainSchema, { ...options, cluster: name }, 'drain cluster');
    await withClient(settings, (client) => drain(client, settings));
  });
  return new Command('drain')
    .description("take a cluster's traffic away for a time, where others can bear it")
    .addCommand(cluster)
    .addCommand(drainGatewayCommand());
}

/** `linkspan undrain`: gives it back before that time. */
export function undrainCommand(): Command {
  const cluster = withDrainPlaceFlags(
    new Command('cluster')
      .description('give a drained cluster its requests back, over the same ramp')
      .argument('<cluster>', 'the cluster, as its Link calls it'),
  ).action(async (name: string, options: object) => {
    const settings = parseFlags(undrainSchema, { ...options, cluster: name }, 'undrain cluster');
    await withClient(settings, async (client) => {
      const { dryRun, service, output } = settings;
      const plan = async () => ({
        write: planUndrain(await objectsOf(client, settings), settings, await serverTime(client)),
      });
      const { plan: planned, written } = await applyDrain(client, plan, () => !dryRun);
      const ended = planned.write?.drain;
      const drill = service === undefined ? await endDrill(client, settings) : undefined;
      if (written && planned.write !== undefined)
        await tellDrain(client, planned.write, {
          reason: 'DrainDone',
          message: undrainText(ended, { cluster: name, service, written }).trimEnd(),
        });
      const asked = { cluster: name, service, written };
      const value = {
        cluster: name,
        service: service ?? null,
        until: ended && timeText(ended.until),
        drill: drill?.kind,
        written: written || (drill !== undefined && !dryRun),
      };
      const text = () => (ended === undefined && drill !== undefined ? '' : undrainText(ended, asked));
      process.stdout.write(render(output, value, () => text() + endedDrillText(drill, name, dryRun)));
    });
  });
  return new Command('undrain')
    .description('end a drain before its time')
    .addCommand(cluster)
    .addCommand(undrainGatewayCommand());
}

/** Ends a drill whose program may be gone. @returns what stood there; undefined: none did */
async function endDrill(
  client: KubeClient,
  settings: z.output<typeof undrainSchema>,
): Promise<ConnectionDrill | undefined> {
  const { on } = placeOf(await objectsOf(client, settings), settings);
  const drill = standingDrill(on, await serverTime(client));
  const { namespace = '', name = '' } = on.metadata ?? {};
  if (drill !== undefined && !settings.dryRun)
    await endConnectionDrill(client, { resource: links, namespace, name }, drill);
  return drill;
}

async function drain(client: KubeClient, settings: DrainSettings): Promise<void> {
  const { cluster, dryRun, force, output, service, to, ramp, until, reason } = settings;
  const by = process.env['USER'];
  const wish = { to, rampMs: ramp, lastsMs: until, drill: false, by, reason };
  const plan = async () =>
    planDrain(await objectsOf(client, settings), { cluster, service }, wish, await serverTime(client));
  const isSafe = ({ findings }: DrainPlan) => findings.length === 0 || force;
  const traffic = settings.wait ? await trafficOf(client, settings) : undefined;
  const { plan: planned, written } = await applyDrain(client, plan, (one) => !dryRun && isSafe(one));
  const asked = { cluster, service, written };
  const now = await serverTime(client);
  process.stdout.write(render(output, drainRow(planned, asked), () => drainText(planned, asked, now)));
  if (!isSafe(planned)) assertSafe(planned);
  if (!written) return;
  await tellDrain(client, planned.write, { reason: 'DrainStarted', message: describedDrain(planned.drain) });
  if (traffic !== undefined) await untilDrained(client, settings, planned.write, traffic);
}

/** Waits for the end of the ramp, and has the drain go no further when too much fails. */
async function untilDrained(
  client: KubeClient,
  settings: DrainSettings,
  write: DrainWrite,
  traffic: RecentTraffic,
): Promise<void> {
  const progress = new Progress();
  const look = async () => {
    const drain = drainOn(await rereadOf(client, write), write);
    return { drain, now: await serverTime(client) };
  };
  const sight = async () => {
    const { recent, unseen } = traffic.see(systemClock.monotonic(), await pagesOf(client, settings));
    return { trouble: troubleIn(recent, traffic.usual, DRAIN_RULE)[0], unseen };
  };
  const onBlind = (error: LinkspanError) => {
    progress.clear();
    process.stderr.write(`linkspan: ${plainText(describeError(error))}\n`);
  };
  const pause = async (why: string) => {
    const plan = async () => planPause(await objectsOf(client, settings), settings, await serverTime(client));
    const { plan: paused } = await applyDrain(client, plan, () => true);
    await tellDrain(client, write, { reason: 'DrainPaused', message: why, isWarning: true });
    return paused.write?.drain.to ?? write.drain.to;
  };
  const onLook = (left: number) => progress.show(waitText(settings, left));
  try {
    await waitForDrain(write.drain, { look, clock: systemClock, onLook, sight, onBlind, pause });
  } finally {
    progress.clear();
  }
  await tellDrain(client, write, { reason: 'DrainDone', message: drainedText(settings) });
  process.stderr.write(`linkspan: ${drainedText(settings)}\n`);
}

/** The object that was written; undefined: it is there no more. */
function rereadOf(client: KubeClient, { on, kind }: DrainWrite): Promise<DrainWrite['on'] | undefined> {
  const { namespace = '', name = '' } = on.metadata ?? {};
  const key = { namespace, name };
  return orUndefined<DrainWrite['on']>(kind === 'links' ? client.get(links, key) : client.get(services, key));
}

async function objectsOf(
  client: KubeClient,
  { controllerNamespace, service }: Pick<DrainSettings, 'controllerNamespace' | 'service'>,
): Promise<DrainObjects> {
  const unread: string[] = [];
  const named = service === undefined ? undefined : await readNamed(client, service, unread);
  const weighted = service === undefined ? 'all' : named;
  const objects = await readAllFailover(client, undefined, controllerNamespace, weighted);
  return { ...objects, named, unread: [...(objects.unread ?? []), ...unread] };
}

/**
 * A Service by `namespace/name`; undefined where there is none, or it may not be read, which `unread` says.
 */
async function readNamed(
  client: KubeClient,
  service: string,
  unread: string[],
): Promise<V1Service | undefined> {
  try {
    return await orUndefined(client.get(services, parseKey(service)));
  } catch (error) {
    if (!isForbidden(error)) throw error;
    unread.push(`the Service ${service}: ${messageOf(error)}`);
    return undefined;
  }
}

function pagesOf(client: KubeClient, { controllerNamespace: namespace, egress: urls }: DrainSettings) {
  return readEgressPages(client, { namespace, urls });
}

/** What is usual, before anything is drained. Pods that do not answer are said once: nobody watches them. */
async function trafficOf(client: KubeClient, settings: DrainSettings): Promise<RecentTraffic> {
  const pages = await pagesOf(client, settings);
  tellFailures(silentTexts(pages));
  return new RecentTraffic(systemClock.monotonic(), pages);
}
