import type { V1Lease } from '@kubernetes/client-node';
import { importAnnotations } from '../../api/link/import-policy.ts';
import { codeOf, LinkspanError, messageOf } from '../../api/errors/linkspan-error.ts';
import { linkLeaseName } from '../../api/lease-names.ts';
import { type LinkObject, links } from '../../api/link/link-schema.ts';
import { type Condition, LINK_CONDITIONS } from '../../api/link/link-status.ts';
import { systemClock } from '../../base/clock.ts';
import { type ImportRefusal, refusalsOf } from '../../check/import-checks.ts';
import { type LinkReport, MIRRORS_PAGE } from '../../api/answers/admin-answers.ts';
import { isForbidden, isNotFound, type KubeClient } from '../../kube/client/kube-client.ts';
import { createdAt, leases } from '../../api/kubernetes/resource.ts';
import { askControllers, type ControllerFlags, mergeReports } from './controller-answers.ts';

/** A condition, for programs. */
export interface ConditionRow {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  /** When the status changed last (RFC 3339); null: it was never written. */
  readonly since: string | null;
}

/** One Link, for programs. */
export interface LinkRow {
  readonly name: string;
  readonly cluster: string;
  readonly gateway: string;
  /** Status of each condition, `Unknown` before it was first written. */
  readonly conditions: Readonly<Record<string, ConditionRow>>;
  readonly mirrors: number | null;
  /** The replica that holds the Link's Lease; null: none, or Leases may not be read. */
  readonly keptBy: string | null;
  readonly ageSeconds: number | null;
  /** Seconds since the target's API server was last heard; null: never, or no controller reports it. */
  readonly lastWordSeconds: number | null;
  /** When the credentials expire (RFC 3339); null: never, or no controller reports it. */
  readonly credentialsExpireAt: string | null;
  /** The Link's annotations `linkspan.dev/import-*`; without any, the defaults apply (ADR 0027). */
  readonly importPolicy: Readonly<Record<string, string>>;
  /** What that policy refuses now; null: no controller reports it. */
  readonly refusedImports: readonly ImportRefusal[] | null;
  /** What its controller could not write, and why; the conditions may be outdated then. */
  readonly unwritten: readonly string[];
}

/**
 * Every Link of the controllers' namespace.
 * @param ask whether the controllers are asked for what the API server does not have; their silence is no
 * error
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
    return await askControllers(client, flags, MIRRORS_PAGE);
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
      return linkRow(link, keepers.get(linkLeaseName(name)) ?? '', now, told.get(`${namespace}/${name}`));
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function linkRow(link: LinkObject, keeper: string, now: number, report: LinkReport | undefined): LinkRow {
  const { metadata = {}, spec = {}, status = {} } = link;
  const { name = '' } = metadata;
  const created = createdAt(link);
  return {
    name,
    cluster: spec.targetClusterName ?? '',
    gateway: spec.gatewayAddress ?? '',
    conditions: conditionsOf(status.conditions ?? []),
    mirrors: status.mirrorCount ?? null,
    keptBy: keeper === '' ? null : keeper,
    ageSeconds: Number.isFinite(created) ? Math.round((now - created) / 1000) : null,
    importPolicy: Object.fromEntries(importAnnotations(metadata.annotations)),
    ...toldOf(report),
  };
}

function toldOf(
  report: LinkReport | undefined,
): Pick<LinkRow, 'lastWordSeconds' | 'credentialsExpireAt' | 'refusedImports' | 'unwritten'> {
  const { lastWordSeconds = null, credentialsExpireAt = null, unwritten = [] } = report ?? {};
  // Only the replica that holds the Lease reports mirrors.
  const refused = report?.mirrors === undefined ? null : refusalsOf(report);
  return { lastWordSeconds, credentialsExpireAt, refusedImports: refused, unwritten };
}

function conditionsOf(found: readonly Condition[]): LinkRow['conditions'] {
  const known = new Map(found.map((one) => [one.type, one]));
  return Object.fromEntries(
    LINK_CONDITIONS.map((type) => {
      const { status = 'Unknown', reason = '', message = '', lastTransitionTime } = known.get(type) ?? {};
      return [type, { status, reason, message, since: lastTransitionTime ?? null }];
    }),
  );
}
