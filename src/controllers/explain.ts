import { LOCAL } from '../api/names.ts';
import type { V1Service } from '@kubernetes/client-node';
import { type Explanation } from '../api/answers/admin-answers.ts';
import { memberName } from '../api/mirror/federated-members.ts';
import { type MirrorReason, mirrorReasons } from '../api/reasons/mirror-reasons.ts';
import type { FederatedReconciler } from './federated/federated-reconciler.ts';
import type { TargetCluster } from './link/target-cluster.ts';
import { gatewayReport, secondsSinceHeard } from './link-reports.ts';
import { isAnnotated } from './mirror/selected-exports.ts';
import type { MirrorController } from './mirror-controller.ts';
import { readyAddresses } from './objects/mirrored-endpoints.ts';

/**
 * Explains what became of a Service. The name may be the remote Service's, the mirror's (`<svc>-<cluster>`)
 * or the federated Service's; where it can be several, each of them that exists is explained. For each Link
 * whose Lease this replica holds there is at least one explanation, whether the Service is exported or not,
 * and one for this cluster's own member of a federated Service, where there is one.
 */
export function explainName(controller: MirrorController, namespace: string, name: string): Explanation[] {
  const found: Explanation[] = [];
  for (const { peer } of controller.runs.values()) {
    if (peer === undefined) continue;
    const remote = ofMirror(name, peer.link.targetClusterName);
    const mirrors = keysOf(namespace, [remote, name]).map((key) => explainMirror(controller, peer, key));
    const there = mirrors.filter(isThere);
    found.push(...(there.length > 0 ? there : mirrors.slice(0, 1)));
    const members = keysOf(namespace, [memberName(name), remote, name]);
    found.push(...members.map((key) => explainMember(controller, peer, key)).filter(isThere));
  }
  const own = keysOf(namespace, [memberName(name), name]);
  return [...found, ...own.flatMap((key) => explainLocal(controller, key))];
}

/** Name of the remote Service whose mirror would be called `name`; undefined where none would. */
function ofMirror(name: string, cluster: string): string | undefined {
  const suffix = `-${cluster}`;
  return name.endsWith(suffix) && name !== suffix ? name.slice(0, -suffix.length) : undefined;
}

/**
 * The keys of Services of these names, in order. A name that ends as mirrors' do need not be a mirror's, so
 * that several are asked for.
 */
function keysOf(namespace: string, names: readonly (string | undefined)[]): string[] {
  const there = names.filter((name) => name !== undefined);
  return [...new Set(there)].map((name) => `${namespace}/${name}`);
}

/** Whether it is exported, or something exists here for it. */
function isThere({ exported, clusterIP, endpoints }: Explanation): boolean {
  return exported || clusterIP !== null || endpoints.length > 0;
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

/** What the reconciler remembers of a key, and what the view of the target has of it. */
function inspected(
  reconciler: Pick<FederatedReconciler, 'inspect'>,
  view: TargetCluster['exports'],
  key: string,
) {
  const { exported, outcome, local, namespace, mode, part } = reconciler.inspect(key);
  const isExported = exported !== undefined;
  const reason = outcome?.reason ?? reasonWithout(isExported, view.synced);
  return {
    local,
    exported: isExported,
    mode,
    namespace,
    reason,
    message: outcome?.message ?? '',
    meaning: mirrorReasons[reason].meaning,
    remote: { ...view.endpointsOf(key), certain: view.endpointsKnown(key) },
    clusterIP: part.service?.spec?.clusterIP ?? null,
    endpoints: readyAddresses(part.slices).sort(),
  };
}

/** The reason of a key about which nothing has been decided. */
function reasonWithout(isExported: boolean, synced: boolean): MirrorReason {
  if (isExported) return 'Pending';
  return synced ? 'NotExported' : 'NotSynced';
}

function common(controller: MirrorController, peer: TargetCluster, service: string) {
  return {
    link: `${peer.link.namespace}/${peer.link.name}`,
    cluster: peer.link.targetClusterName,
    service,
    gateway: peer.gateway === undefined ? null : gatewayReport(peer.gateway),
    synced: peer.synced,
    apiError: peer.apiError?.message ?? null,
    lastWordSeconds: secondsSinceHeard(controller, peer),
  };
}

function selectedBy(peer: TargetCluster, remote: V1Service): string {
  if (peer.link.remoteDiscoverySelector.matches(remote.metadata?.labels)) return 'remoteDiscoverySelector';
  return isAnnotated(remote, peer.link) ? 'annotation' : 'selector';
}
