import type { V1Service } from '@kubernetes/client-node';
import { messageOf } from '../api/errors/linkspan-error.ts';
import { memberName } from '../api/mirror/federated-members.ts';
import type { MirrorController } from './mirror-controller.ts';
import { readyAddresses } from './objects/mirrored-endpoints.ts';
import type { ControllerTry } from '../api/admin/try-answer.ts';
import type { AddressReport } from './gateway-health/gateway-health.ts';
import type { LinkController } from './link/link-controller.ts';
import type { FederatedReconciler } from './federated/federated-reconciler.ts';
import { isAnnotated } from './mirror/selected-exports.ts';
import { parseKey } from '../api/mirror/mirror-names.ts';
import type { TargetCluster } from './link/target-cluster.ts';
import { mirrorReasons, type MirrorReason } from '../api/reasons/mirror-reasons.ts';
import type { Outcome } from './reconcile/reconciler.ts';

/**
 * In the place of a Link, and of a cluster, of what lives in the source cluster itself. No Link is called so:
 * theirs have a namespace.
 */
export const LOCAL = 'local';

/** What one replica knows of one Link; `GET /mirrors` of the controller's admin port. */
export interface LinkReport {
  /** `namespace/name`; `LOCAL`: the source cluster's own members of federated Services. */
  readonly link: string;
  readonly cluster: string;
  /** Whether this replica keeps the Link's mirrors; another one that does knows more. */
  readonly held: boolean;
  /** Why the Link cannot run. */
  readonly problem?: string;
  readonly synced?: boolean;
  /** Why the target's API server cannot be used. */
  readonly apiError?: string;
  /** Why it is parked. */
  readonly overBudget?: string;
  /** Age of the last word from the target, seconds. */
  readonly lastWordSeconds?: number;
  /** RFC 3339: when the credentials end; absent where nothing says so. */
  readonly credentialsExpireAt?: string;
  readonly gateway?: { readonly path: string; readonly addresses: readonly AddressReport[] };
  /** Kinds of the source's own address ranges that are not known, and why. */
  readonly unknownRanges?: readonly string[];
  /** What is known here and could not be written for others to see, and why. */
  readonly unwritten?: readonly string[];
  readonly mirrors?: readonly ServiceReport[];
  readonly federated?: readonly ServiceReport[];
}

/** One Service of a target and what became of it. */
export interface ServiceReport {
  /** The remote Service, `namespace/name`. */
  readonly service: string;
  /** Name of the Service in the source cluster. */
  readonly local: string;
  readonly mode: string;
  readonly reason: MirrorReason;
  readonly message: string;
  /** What of the export the import policy left out of a mirror that is there. */
  readonly leftOut?: readonly { readonly reason: string; readonly text: string }[];
  /** RFC 3339: since when. */
  readonly since: string;
  /** Addresses that the local Service's slices hold. */
  readonly endpoints: number;
}

/** Everything that is known about one name; `GET /explain`. */
export interface Explanation {
  readonly link: string;
  readonly cluster: string;
  readonly service: string;
  readonly local: string;
  readonly kind: 'mirror' | 'federated';
  readonly exported: boolean;
  /** What makes it exported. */
  readonly selectedBy: string | null;
  readonly mode: string;
  readonly namespace: string;
  readonly reason: MirrorReason;
  readonly meaning: string;
  readonly message: string;
  readonly remote: { readonly ready: number; readonly known: number; readonly certain: boolean };
  readonly clusterIP: string | null;
  readonly endpoints: readonly string[];
  readonly gateway: LinkReport['gateway'] | null;
  readonly synced: boolean;
  readonly apiError: string | null;
  readonly lastWordSeconds: number | null;
}

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

/**
 * Sends one request through every gateway path that this replica probes, now; `GET /try` of the admin port.
 */
export async function tryGateways(controller: MirrorController): Promise<ControllerTry[]> {
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
