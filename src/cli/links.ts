import type { V1Lease } from '@kubernetes/client-node';
import { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../base/clock.ts';
import { parseFlags } from '../base/config.ts';
import { DEFAULT_NAMESPACE } from '../base/names.ts';
import { isForbidden, type KubeClient } from '../kube/client.ts';
import { leases } from '../kube/resource.ts';
import { links, type LinkObject } from '../link/schema.ts';
import { type Condition, LINK_CONDITIONS } from '../link/status.ts';
import { clusterFlags, withClient, withClusterFlags } from './flags.ts';
import { age, outputFlag, render, table } from './output.ts';

const LEASE = 'service-mirror-write-';
const schema = z.strictObject({ ...clusterFlags, namespace: z.string(), output: outputFlag });

/** One Link, for programs. */
export interface LinkRow {
  readonly name: string;
  readonly cluster: string;
  readonly gateway: string;
  /** Status of each condition, `Unknown` before it was first written. */
  readonly conditions: Readonly<Record<string, { status: string; reason: string; message: string }>>;
  readonly mirrors: number | null;
  /** The replica that keeps its mirrors; null: none, or Leases may not be read. */
  readonly keptBy: string | null;
  readonly ageSeconds: number | null;
}

/** `linkspan links`: every Link and how it is. Asks the API server only, so it also works when no controller runs. */
export function linksCommand(): Command {
  const command = new Command('links')
    .description('list the Links of this (source) cluster and how each is')
    .option('-n, --namespace <ns>', 'namespace of the Links', DEFAULT_NAMESPACE)
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .addHelpText('after', '\nExample:\n  linkspan links --context east');
  return withClusterFlags(command, 'source').action(async (options: unknown) => {
    const flags = parseFlags(schema, options, 'links');
    const rows = await withClient(flags, (client) => readLinks(client, flags.namespace));
    process.stdout.write(render(flags.output, rows, () => linksText(rows)));
  });
}

/** Every Link of a namespace. Without the right to read Leases, nobody is known to keep them. */
export async function readLinks(client: KubeClient, namespace: string): Promise<LinkRow[]> {
  const { items } = await client.list(links, { namespace });
  const held = await client.list(leases, { namespace }).catch((error: unknown) => {
    if (isForbidden(error)) return { items: [] };
    throw error;
  });
  return linkRows(items, held.items, systemClock.now());
}

/** @param now milliseconds since the epoch */
export function linkRows(items: readonly LinkObject[], held: readonly V1Lease[], now: number): LinkRow[] {
  const keepers = new Map(
    held.map(({ metadata, spec }) => [metadata?.name ?? '', spec?.holderIdentity ?? ''] as const),
  );
  return items
    .map((link) => linkRow(link, keepers.get(LEASE + (link.metadata?.name ?? '')) ?? '', now))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function linkRow(
  { metadata = {}, spec = {}, status = {} }: LinkObject,
  keeper: string,
  now: number,
): LinkRow {
  const { creationTimestamp: created, name = '' } = metadata;
  return {
    name,
    cluster: spec.targetClusterName ?? '',
    gateway: spec.gatewayAddress ?? '',
    conditions: conditionsOf(status.conditions ?? []),
    mirrors: status.mirrorCount ?? null,
    keptBy: keeper === '' ? null : keeper,
    ageSeconds: created === undefined ? null : Math.round((now - new Date(created).getTime()) / 1000),
  };
}

function conditionsOf(found: readonly Condition[]): LinkRow['conditions'] {
  const known = new Map(found.map((one) => [one.type, one]));
  return Object.fromEntries(
    LINK_CONDITIONS.map((type) => {
      const { status = 'Unknown', reason = '', message = '' } = known.get(type) ?? {};
      return [type, { status, reason, message }];
    }),
  );
}

/** The table, and under it what is wrong with which Link. */
export function linksText(rows: readonly LinkRow[]): string {
  if (rows.length === 0) return 'There are no Links. `linkspan link` makes them.\n';
  const head = [
    'NAME',
    'CLUSTER',
    'GATEWAY',
    'CREDENTIALS',
    'API',
    'ALIVE',
    'SYNCED',
    'MIRRORS',
    'KEPT BY',
    'AGE',
  ];
  const body = rows.map((row) => [
    row.name,
    row.cluster,
    row.gateway === '' ? '-' : row.gateway,
    ...LINK_CONDITIONS.map((type) => row.conditions[type]?.status ?? 'Unknown'),
    row.mirrors === null ? '-' : String(row.mirrors),
    row.keptBy ?? '-',
    row.ageSeconds === null ? '-' : age(row.ageSeconds),
  ]);
  const troubles = rows.flatMap(({ name, conditions }) =>
    Object.entries(conditions)
      .filter(([, { status, reason }]) => status !== 'True' && reason !== '')
      .map(([type, { reason, message }]) => `${name}: ${type}: ${reason}: ${message}\n`),
  );
  return table(head, body) + (troubles.length === 0 ? '' : `\n${troubles.join('')}`);
}
