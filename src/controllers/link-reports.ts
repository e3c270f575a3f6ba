import { LOCAL } from '../api/names.ts';
import { type LinkReport, type ServiceReport } from '../api/answers/admin-answers.ts';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { parseKey } from '../api/mirror/mirror-names.ts';
import type { LinkController } from './link/link-controller.ts';
import type { TargetCluster } from './link/target-cluster.ts';
import type { MirrorController } from './mirror-controller.ts';
import { readyAddresses } from './objects/mirrored-endpoints.ts';
import type { Outcome } from './reconcile/reconciler.ts';

/**
 * Every Link with all its Services, as this replica knows them, and after them this cluster's own members of
 * federated Services, where this replica keeps them.
 */
export function reportLinks(controller: MirrorController): LinkReport[] {
  const found = [...controller.runs]
    .map(([key, run]) => reportLink(controller, key, run))
    .sort((a, b) => (a.link < b.link ? -1 : 1));
  return [...found, ...reportLocal(controller)];
}

function reportLocal(controller: MirrorController): LinkReport[] {
  const kept = controller.localMembers?.kept;
  if (kept === undefined || kept.writer.reconciler.outcomes.size === 0) return [];
  const { outcomes } = kept.writer.reconciler;
  const federated = services(controller, outcomes, () => 'federated');
  return [{ link: LOCAL, cluster: LOCAL, held: true, synced: kept.members.synced, mirrors: [], federated }];
}

function reportLink(controller: MirrorController, link: string, run: LinkController): LinkReport {
  const { peer, problem } = run;
  const cluster = controller.links.get(link)?.spec?.targetClusterName ?? '';
  const unwritten = unwrittenOf(controller, run);
  const seen = unwritten.length === 0 ? {} : { unwritten };
  if (peer === undefined)
    return {
      link,
      cluster,
      held: run.leader,
      ...(problem === undefined ? {} : { problem: problem.message }),
      ...seen,
    };
  const lastWordSeconds = secondsSinceHeard(controller, peer);
  return {
    link,
    cluster,
    held: true,
    synced: peer.synced,
    ...(peer.apiError === undefined ? {} : { apiError: peer.apiError.message }),
    ...(peer.overBudget === undefined ? {} : { overBudget: peer.overBudget.message }),
    ...(lastWordSeconds === null ? {} : { lastWordSeconds }),
    ...(run.expiry === undefined
      ? {}
      : { credentialsExpireAt: new Date(run.expiry.expiresAt).toISOString() }),
    ...(peer.gateway === undefined ? {} : { gateway: gatewayReport(peer.gateway) }),
    unknownRanges: peer.unknownRanges,
    ...seen,
    mirrors: services(controller, peer.mirrors.reconciler.outcomes, (key) => peer.mirrors.modeOf(key)),
    federated: services(controller, peer.federated.reconciler.outcomes, () => 'federated'),
  };
}

/** What could not be written about a Link, with the reason: its status, Events. */
function unwrittenOf({ events }: MirrorController, { statusFailure }: LinkController): string[] {
  const status = statusFailure === undefined ? [] : [`status: ${messageOf(statusFailure)}`];
  return events.failure === undefined ? status : [...status, `Events: ${messageOf(events.failure)}`];
}

function services(
  controller: MirrorController,
  outcomes: ReadonlyMap<string, Outcome>,
  modeOf: (key: string) => string,
): ServiceReport[] {
  return [...outcomes]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([service, { reason, message, notes, local, since }]) => ({
      service,
      local,
      mode: modeOf(service),
      reason,
      message,
      ...(notes === undefined ? {} : { leftOut: notes }),
      since: new Date(since).toISOString(),
      endpoints: readyAddresses(controller.view.slices(parseKey(service).namespace, local)).length,
    }));
}

/** What is known of the path to a target's gateway. */
export function gatewayReport(
  gateway: NonNullable<TargetCluster['gateway']>,
): NonNullable<LinkReport['gateway']> {
  return { path: gateway.facts.path, addresses: gateway.reports };
}

/** Seconds since a target last sent anything, to a tenth; null: it never has. */
export function secondsSinceHeard(controller: MirrorController, peer: TargetCluster): number | null {
  const { lastHeard } = peer;
  return lastHeard === undefined ? null : Math.round((controller.options.clock.now() - lastHeard) / 100) / 10;
}
