import type { V1Lease } from '@kubernetes/client-node';
import { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '../../base/clock.ts';
import { parseFlags } from '../../base/config.ts';
import { DEFAULT_NAMESPACE, IMPORT_CONTROL_PREFIX } from '../../api/names.ts';
import { codeOf, LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { type ImportRefusal, refusalsOf } from '../../check/import-checks.ts';
import { isForbidden, isNotFound, type KubeClient } from '../../kube/client/kube-client.ts';
import { leases } from '../../kube/objects/resource.ts';
import { links, type LinkObject } from '../../api/link/link-schema.ts';
import { type Condition, LINK_CONDITIONS } from '../../api/link/link-status.ts';
import type { LinkReport } from '../../controllers/explain.ts';
import {
  askControllers,
  controllerFlags,
  type ControllerFlags,
  tellFailures,
} from '../queries/controller-answers.ts';
import { mergeReports } from './mirrors.ts';
import {
  clusterFlags,
  timeoutFlag,
  withClient,
  withClusterFlags,
  withTimeoutFlag,
} from '../flags/cluster-flags.ts';
import { age, render, table } from '../output/output.ts';

const LEASE = 'service-mirror-write-';
const schema = z.strictObject({
  ...clusterFlags,
  controller: controllerFlags.controller,
  namespace: z.string(),
  timeout: timeoutFlag,
  output: z.enum(['table', 'wide', 'json', 'yaml'], { error: 'must be table, wide, json or yaml' }),
});

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
  /** Age of the last word from the target's API server; null: never, or no controller says. */
  readonly lastWordSeconds: number | null;
  /** RFC 3339: when the credentials end; null: they have no end, or no controller says. */
  readonly credentialsExpireAt: string | null;
  /** Its annotations `linkspan.dev/import-*`, as they stand; without any, the defaults hold (ADR 0027). */
  readonly importPolicy: Readonly<Record<string, string>>;
  /** What that policy keeps out now; null: no controller says. */
  readonly refusedImports: readonly ImportRefusal[] | null;
  /** What its controller knows and could not write, and why: its conditions may be older than that. */
  readonly unwritten: readonly string[];
}

/** `linkspan links`: every Link and how it is. The table asks the API server only, and all of it works when no controller runs. */
export function linksCommand(): Command {
  const command = new Command('links')
    .description('list the Links of this (source) cluster and how each is')
    .option('-n, --namespace <ns>', 'namespace of the Links', DEFAULT_NAMESPACE)
    .option('--controller <urls>', "the controllers' admin ports, instead of their pods")
    .option('-o, --output <format>', 'table, wide (with what only controllers know), json or yaml', 'table');
  return withClusterFlags(withTimeoutFlag(command), 'source').action(async (options: unknown) => {
    const flags = parseFlags(schema, options, 'links');
    const { output } = flags;
    const where = { ...flags, controllerNamespace: flags.namespace };
    const { rows, failures } = await withClient(flags, (client) =>
      gatherLinks(client, where, output !== 'table'),
    );
    const text = () => (output === 'wide' ? wideLinksText(rows) : linksText(rows));
    process.stdout.write(render(output === 'wide' ? 'table' : output, rows, text));
    tellFailures(failures);
  });
}

/**
 * Every Link of the controllers' namespace.
 * @param ask whether the controllers are asked for what the API server does not know; that they do not answer is no error
 * @throws LinkspanError LINK_CRD_MISSING
 */
export async function gatherLinks(
  client: KubeClient,
  flags: ControllerFlags,
  ask: boolean,
): Promise<{ rows: LinkRow[]; failures: readonly string[] }> {
  const namespace = flags.controllerNamespace;
  const [items, held, { answers, failures }] = await Promise.all([
    listLinks(client, namespace),
    listLeases(client, namespace),
    ask ? reportsOf(client, flags) : { answers: [], failures: [] },
  ]);
  const rows = linkRows(items, held, systemClock.now(), mergeReports(answers));
  return { rows, failures };
}

async function listLinks(client: KubeClient, namespace: string): Promise<readonly LinkObject[]> {
  try {
    return (await client.list(links, { namespace })).items;
  } catch (error) {
    if (isNotFound(error))
      throw new LinkspanError(
        'LINK_CRD_MISSING',
        `${client.server} has no CustomResourceDefinition of Links that serves ${links.version}`,
      );
    throw error;
  }
}

async function listLeases(client: KubeClient, namespace: string): Promise<readonly V1Lease[]> {
  try {
    return (await client.list(leases, { namespace })).items;
  } catch (error) {
    if (isForbidden(error)) return [];
    throw error;
  }
}

async function reportsOf(client: KubeClient, flags: ControllerFlags) {
  try {
    return await askControllers<LinkReport>(client, flags, '/mirrors');
  } catch (error) {
    if (isForbidden(error)) return { answers: [], failures: ['the controllers: Leases may not be listed'] };
    if (codeOf(error) !== 'CONTROLLER_NOT_FOUND') throw error;
    return { answers: [], failures: [`the controllers: ${messageOf(error)}`] };
  }
}

/** @param now milliseconds since the epoch */
export function linkRows(
  items: readonly LinkObject[],
  held: readonly V1Lease[],
  now: number,
  reports: readonly LinkReport[] = [],
): LinkRow[] {
  const keepers = new Map(
    held.map(({ metadata, spec }) => [metadata?.name ?? '', spec?.holderIdentity ?? ''] as const),
  );
  const told = new Map(reports.map((report) => [report.link, report]));
  return items
    .map((link) => {
      const { namespace = '', name = '' } = link.metadata ?? {};
      return linkRow(link, keepers.get(LEASE + name) ?? '', now, told.get(`${namespace}/${name}`));
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function linkRow(link: LinkObject, keeper: string, now: number, report: LinkReport | undefined): LinkRow {
  const { metadata = {}, spec = {}, status = {} } = link;
  const { creationTimestamp: created, name = '' } = metadata;
  return {
    name,
    cluster: spec.targetClusterName ?? '',
    gateway: spec.gatewayAddress ?? '',
    conditions: conditionsOf(status.conditions ?? []),
    mirrors: status.mirrorCount ?? null,
    keptBy: keeper === '' ? null : keeper,
    ageSeconds: created === undefined ? null : Math.round((now - new Date(created).getTime()) / 1000),
    importPolicy: Object.fromEntries(
      Object.entries(metadata.annotations ?? {}).filter(([key]) => key.startsWith(IMPORT_CONTROL_PREFIX)),
    ),
    ...toldOf(report),
  };
}

function toldOf(
  report: LinkReport | undefined,
): Pick<LinkRow, 'lastWordSeconds' | 'credentialsExpireAt' | 'refusedImports' | 'unwritten'> {
  const { lastWordSeconds = null, credentialsExpireAt = null, unwritten = [] } = report ?? {};
  // A replica that does not keep the Link has no mirrors to speak of.
  const refused = report?.mirrors === undefined ? null : refusalsOf(report);
  return { lastWordSeconds, credentialsExpireAt, refusedImports: refused, unwritten };
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
  return withTroubles(rows, HEAD, cells);
}

/** The same with what controllers say: how old the last word of the target is, and when the credentials end. */
export function wideLinksText(rows: readonly LinkRow[]): string {
  return withTroubles(rows, [...HEAD, 'LAST WORD', 'CREDENTIALS UNTIL'], (row) => [
    ...cells(row),
    row.lastWordSeconds === null ? '-' : age(row.lastWordSeconds),
    row.credentialsExpireAt ?? '-',
  ]);
}

const HEAD = [
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
] as const;

function cells(row: LinkRow): string[] {
  return [
    row.name,
    row.cluster,
    row.gateway === '' ? '-' : row.gateway,
    ...LINK_CONDITIONS.map((type) => row.conditions[type]?.status ?? 'Unknown'),
    row.mirrors === null ? '-' : String(row.mirrors),
    row.keptBy ?? '-',
    row.ageSeconds === null ? '-' : age(row.ageSeconds),
  ];
}

function withTroubles(
  rows: readonly LinkRow[],
  head: readonly string[],
  cellsOf: (row: LinkRow) => string[],
): string {
  if (rows.length === 0) return 'There are no Links. `linkspan link` makes them.\n';
  const troubles = rows.flatMap(({ name, conditions }) =>
    Object.entries(conditions)
      .filter(([, { status, reason }]) => status !== 'True' && reason !== '')
      .map(([type, { reason, message }]) => `${name}: ${type}: ${reason}: ${message}\n`),
  );
  return table(head, rows.map(cellsOf)) + (troubles.length === 0 ? '' : `\n${troubles.join('')}`);
}
