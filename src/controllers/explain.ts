import {
  type Explanation,
  type GatewayTry,
  type LinkReport,
  LOCAL,
  type ServiceReport,
} from '../api/answers/admin-answers.ts';
import type { V1Service } from '@kubernetes/client-node';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { memberName } from '../api/mirror/federated-members.ts';
import type { MirrorController } from './mirror-controller.ts';
import { readyAddresses } from './objects/mirrored-endpoints.ts';
import type { LinkController } from './link/link-controller.ts';
import type { FederatedReconciler } from './federated/federated-reconciler.ts';
import { isAnnotated } from './mirror/selected-exports.ts';
import { parseKey } from '../api/mirror/mirror-names.ts';
import type { TargetCluster } from './link/target-cluster.ts';
import { mirrorReasons } from '../api/reasons/mirror-reasons.ts';
import type { Outcome } from './reconcile/reconciler.ts';

/**
 * Every Link with all its Services, as this replica knows them, and behind them this cluster's own members of
 * federated Services, if there are any.
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

/** Sends one request through every gateway path that this replica probes, now. */
export async function tryGateways(controller: MirrorController): Promise<GatewayTry[]> {
  const tries = [...controller.runs].map(async ([link, { peer }]) =>
    ((await peer?.gateway?.tryNow()) ?? []).map((one) => ({
      link,
      cluster: peer?.link.targetClusterName ?? '',
      ...one,
    })),
  );
  return (await Promise.all(tries)).flat();
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
  const lastWordSeconds = ageOf(controller, peer);
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

/**
 * What became of a name: it may be the remote Service's, the mirror's (`<svc>-<cluster>`) or the federated
 * Service's. One explanation for each Link that this replica keeps, whether the Service is exported or not,
 * and one for this cluster's own member of a federated Service.
 */
export function explainName(controller: MirrorController, namespace: string, name: string): Explanation[] {
  const found: Explanation[] = [];
  for (const { peer } of controller.runs.values()) {
    if (peer === undefined) continue;
    const suffix = `-${peer.link.targetClusterName}`;
    const remote = name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
    const member = memberName(name) ?? remote;
    found.push(explainMirror(controller, peer, `${namespace}/${remote}`));
    const federated = explainMember(controller, peer, `${namespace}/${member}`);
    if (federated.exported || federated.endpoints.length > 0) found.push(federated);
  }
  return [...found, ...explainLocal(controller, `${namespace}/${memberName(name) ?? name}`)];
}

/** This cluster's own member of a federated Service, where it is one and this replica keeps it. */
function explainLocal({ localMembers }: MirrorController, key: string): Explanation[] {
  const { writer, members } = localMembers?.kept ?? {};
  const outcome = writer?.reconciler.outcomes.get(key);
  if (writer === undefined || members === undefined || outcome === undefined) return [];
  const own = { link: LOCAL, cluster: LOCAL, service: key, gateway: null };
  const heard = { synced: members.synced, apiError: members.error?.message ?? null, lastWordSeconds: null };
  return [{ ...own, ...heard, ...memberOf(writer, members, key) }];
}

function explainMirror(controller: MirrorController, peer: TargetCluster, key: string): Explanation {
  const { exported } = peer.mirrors.inspect(key);
  return {
    ...common(controller, peer, key),
    kind: 'mirror',
    selectedBy: exported === undefined ? null : selectedBy(peer, exported),
    ...inspected(peer.mirrors, peer.exports, key),
  };
}

function explainMember(controller: MirrorController, peer: TargetCluster, key: string): Explanation {
  return { ...common(controller, peer, key), ...memberOf(peer.federated, peer.members, key) };
}

function memberOf(reconciler: FederatedReconciler, members: TargetCluster['members'], key: string) {
  const found = inspected(reconciler, members, key);
  const selector = found.exported ? 'federatedServiceSelector' : null;
  return { ...found, kind: 'federated' as const, selectedBy: selector };
}

/** What the reconciler keeps of a key, and what the view of the target says of it. */
function inspected(
  reconciler: Pick<FederatedReconciler, 'inspect'>,
  view: TargetCluster['exports'],
  key: string,
) {
  const { exported, outcome, local, namespace, mode, part } = reconciler.inspect(key);
  const isExported = exported !== undefined;
  const unknown = isExported ? 'nobody has looked at it yet' : '';
  const reason = outcome?.reason ?? (view.synced && !isExported ? 'NotExported' : 'NotSynced');
  return {
    local,
    exported: isExported,
    mode,
    namespace,
    reason,
    message: outcome?.message ?? unknown,
    meaning: mirrorReasons[reason],
    remote: { ...view.endpointsOf(key), certain: view.endpointsKnown(key) },
    clusterIP: part.service?.spec?.clusterIP ?? null,
    endpoints: readyAddresses(part.slices).sort(),
  };
}

function common(controller: MirrorController, peer: TargetCluster, service: string) {
  return {
    link: `${peer.link.namespace}/${peer.link.name}`,
    cluster: peer.link.targetClusterName,
    service,
    gateway: peer.gateway === undefined ? null : gatewayReport(peer.gateway),
    synced: peer.synced,
    apiError: peer.apiError?.message ?? null,
    lastWordSeconds: ageOf(controller, peer),
  };
}

function selectedBy(peer: TargetCluster, remote: V1Service): string {
  if (peer.link.remoteDiscoverySelector.matches(remote.metadata?.labels)) return 'remoteDiscoverySelector';
  return isAnnotated(remote, peer.link) ? 'annotation' : 'selector';
}

function gatewayReport(gateway: NonNullable<TargetCluster['gateway']>): NonNullable<LinkReport['gateway']> {
  return { path: gateway.facts.path, addresses: gateway.reports };
}

function ageOf(controller: MirrorController, peer: TargetCluster): number | null {
  const { lastHeard } = peer;
  return lastHeard === undefined ? null : Math.round((controller.options.clock.now() - lastHeard) / 100) / 10;
}
