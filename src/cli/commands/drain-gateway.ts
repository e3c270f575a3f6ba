import { Command } from 'commander';
import { z } from 'zod';
import type { FailoverDrain } from '../../api/failover/failover-drain.ts';
import { DEFAULT_GATEWAY_NAME, DEFAULT_NAMESPACE } from '../../api/names.ts';
import { parseFlags } from '../../base/config.ts';
import { applyDrain } from '../../drains/drain-apply.ts';
import type { DrainWrite } from '../../drains/drain-plan.ts';
import { planGatewayDrain, planGatewayUndrain, readGatewayService } from '../../drains/gateway-drain.ts';
import { endConnectionDrill, standingDrill } from '../../drains/drill-write.ts';
import type { ConnectionDrill } from '../../api/failover/connection-drill.ts';
import { services } from '../../api/kubernetes/resource.ts';
import { describedDrain, timeText } from '../../policy/failover/drain-words.ts';
import type { KubeClient } from '../../kube/client/kube-client.ts';
import { clusterFlags, withClient, withClusterFlags } from '../flags/cluster-flags.ts';
import { drainWishFlags, serverTime, withDrainWishFlags } from '../flags/drain-flags.ts';
import { dnsLabel } from '../flags/link-flags.ts';
import { endedDrillText, gatewayDrainText, undrainText } from '../output/drain-text.ts';
import { tellDrain } from '../output/drain-news.ts';
import { outputFlag, render } from '../output/output.ts';

const place = {
  ...clusterFlags,
  gatewayName: dnsLabel,
  gatewayNamespace: dnsLabel,
  dryRun: z.boolean().default(false),
  output: outputFlag,
};
const drainSchema = z
  .strictObject({ ...place, ...drainWishFlags })
  .refine(({ until, ramp }) => until > ramp, { message: '--until must be later than the end of --ramp' });
const undrainSchema = z.strictObject(place);
type Settings = z.output<typeof undrainSchema>;

function withPlace(command: Command): Command {
  return withClusterFlags(
    command
      .option('--gateway-name <name>', 'name of the gateway Service', DEFAULT_GATEWAY_NAME)
      .option('--gateway-namespace <ns>', 'namespace of the gateway Service', DEFAULT_NAMESPACE)
      .option('--dry-run', 'say what would happen, and write nothing')
      .option('-o, --output <format>', 'table, json or yaml', 'table'),
    'target cluster',
  );
}

/** `linkspan drain gateway`: a target asks all clusters that use it to leave it for a time. */
export function drainGatewayCommand(): Command {
  const command = new Command('gateway').description(
    'ask every source cluster to leave this (target) cluster for a time, by its gateway',
  );
  return withPlace(withDrainWishFlags(command)).action(async (options: object) => {
    const settings = parseFlags(drainSchema, options, 'drain gateway');
    const { to, ramp: rampMs, until: lastsMs, reason } = settings;
    const wish = { to, rampMs, lastsMs, drill: false, by: process.env['USER'], reason };
    await withClient(settings, async (client) => {
      const done = await write(client, settings, (service, now) => planGatewayDrain(service, wish, now));
      const drain = done.write?.drain;
      const { written } = done;
      if (written && done.write !== undefined)
        await tellDrain(client, done.write, {
          reason: 'DrainStarted',
          message: describedDrain(done.write.drain),
        });
      const now = await serverTime(client);
      const text = () => (drain === undefined ? '' : gatewayDrainText(drain, { written }, now));
      process.stdout.write(render(settings.output, valueOf(settings, drain, written), text));
    });
  });
}

/** `linkspan undrain gateway`: it asks them to come back. */
export function undrainGatewayCommand(): Command {
  const command = new Command('gateway').description('end a drain that this (target) cluster asks for');
  return withPlace(command).action(async (options: object) => {
    const settings = parseFlags(undrainSchema, options, 'undrain gateway');
    await withClient(settings, async (client) => {
      const done = await write(client, settings, planGatewayUndrain);
      const drain = done.write?.drain;
      const { written } = done;
      if (written && done.write !== undefined)
        await tellDrain(client, done.write, {
          reason: 'DrainDone',
          message: undrainText(drain, { cluster: 'this cluster', written }).trimEnd(),
        });
      const drill = await endDrill(client, settings);
      const asked = { cluster: 'this cluster', written };
      const text = () => (drain === undefined && drill !== undefined ? '' : undrainText(drain, asked));
      const value = {
        ...valueOf(settings, drain, written || (drill !== undefined && !settings.dryRun)),
        drill: drill?.kind,
      };
      const ended = () => endedDrillText(drill, 'this cluster', settings.dryRun);
      process.stdout.write(render(settings.output, value, () => text() + ended()));
    });
  });
}

/** Ends a drill whose program may be gone. @returns what stood there; undefined: none did */
async function endDrill(
  client: KubeClient,
  { gatewayNamespace: namespace, gatewayName: name, dryRun }: Settings,
): Promise<ConnectionDrill | undefined> {
  const service = await readGatewayService(client, { namespace, name });
  const drill = standingDrill(service, await serverTime(client));
  if (drill !== undefined && !dryRun)
    await endConnectionDrill(client, { resource: services, namespace, name }, drill);
  return drill;
}

async function write(
  client: KubeClient,
  { gatewayNamespace: namespace, gatewayName: name, dryRun }: Settings,
  plan: (...args: Parameters<typeof planGatewayUndrain>) => ReturnType<typeof planGatewayUndrain>,
): Promise<{ readonly write: DrainWrite | undefined; readonly written: boolean }> {
  const look = async () => ({
    write: plan(await readGatewayService(client, { namespace, name }), await serverTime(client)),
  });
  const { plan: planned, written } = await applyDrain(client, look, () => !dryRun);
  return { write: planned.write, written };
}

function valueOf(
  { gatewayNamespace: namespace, gatewayName: name }: Settings,
  drain: FailoverDrain | undefined,
  written: boolean,
): object {
  if (drain === undefined) return { gateway: `${namespace}/${name}`, written };
  const { to, start, rampMs, until } = drain;
  return {
    gateway: `${namespace}/${name}`,
    to,
    start: timeText(start),
    rampSeconds: rampMs / 1000,
    until: timeText(until),
    written,
  };
}
