import { collectedGauges, type MakeGauge, type Registry } from '../telemetry/registry.ts';
import type { MirrorController } from './mirror-controller.ts';
import { BUDGETS } from '../kube/budget/peer-budget.ts';
import { publishLinkMetrics } from './link-metrics.ts';
import { countNotes, countOutcomes, countReasons } from './link/link-conditions.ts';
import type { TargetCluster } from './link/target-cluster.ts';

/**
 * Publishes what the controller knows as metrics, which are worked out when the registry is read. Label names
 * are Linkerd's (`target_cluster_name`). Those of gateway probes are in `gateway-health/probe-metrics.ts`.
 */
export function publishMirrorMetrics(registry: Registry, controller: MirrorController): void {
  const gauge = collectedGauges(registry);
  const perPeer = (name: string, help: string, read: (peer: TargetCluster) => number | undefined) => {
    gauge(name, help, ['target_cluster_name'], (metric) => {
      for (const { peer } of controller.runs.values()) {
        const value = peer && read(peer);
        if (value !== undefined)
          metric.set({ target_cluster_name: peer?.link.targetClusterName ?? '' }, value);
      }
    });
  };
  const secondsSince = (time: number | undefined) =>
    time === undefined ? undefined : (controller.options.clock.now() - time) / 1000;

  perPeer('linkspan_mirrors', 'Mirror Services that exist.', (peer) => peer.mirrorCount);
  perPeer(
    'linkspan_exports',
    'Services that the target exports to this cluster.',
    (peer) => peer.exports.services.size,
  );
  perPeer('linkspan_queue_depth', 'Services that wait to be looked at.', (peer) => peer.depth);
  perPeer('linkspan_peer_synced', '1 when the first complete list of the target has arrived.', (peer) =>
    Number(peer.synced),
  );
  perPeer('linkspan_peer_reachable', "1 while the target's API server answers.", (peer) =>
    Number(peer.apiError === undefined),
  );
  perPeer(
    'linkspan_peer_parked',
    '1 while the target makes the controller hold or read more than one Link may.',
    (peer) => Number(peer.overBudget !== undefined),
  );
  perPeer('linkspan_peer_last_word_seconds', 'Seconds since the target cluster was last heard of.', (peer) =>
    secondsSince(peer.lastHeard),
  );
  perPeer('linkspan_mirror_writes', 'Until 0.3: linkspan_mirror_writes_total.', ({ written }) => written);
  perPeer(
    'linkspan_mirror_lag_seconds',
    'How long the longest write to a mirror has been under way.',
    (peer) => peer.oldestRunningMs / 1000,
  );
  budgets(gauge, controller);
  credentials(gauge, controller);
  gauge(
    'linkspan_mirror_verdicts',
    'Exported Services and federated members by what was decided about them.',
    ['target_cluster_name', 'reason'],
    (metric) => {
      for (const { peer } of controller.runs.values()) {
        if (peer === undefined) continue;
        const cluster = peer.link.targetClusterName;
        for (const [reason, count] of countReasons(peer))
          metric.set({ target_cluster_name: cluster, reason }, count);
      }
      // Members of federated Services that live in this cluster itself.
      for (const [reason, count] of countOutcomes(controller.localMembers?.outcomes.values() ?? []))
        metric.set({ target_cluster_name: 'local', reason }, count);
    },
  );
  unwritten(gauge, controller);
  gauge('linkspan_own_network_suspected', '1 while all gateways have died in one moment.', [], (metric) =>
    metric.set(Number(controller.network.suspected)),
  );
  egress(gauge, controller);
  imports(gauge, controller);
  cacheSizes(gauge, controller);
  publishLinkMetrics(registry, controller);
}

/** What egress pods say. */
function egress(gauge: MakeGauge, { trunks }: MirrorController): void {
  gauge(
    'linkspan_egress_unreached_gateways',
    'Gateway addresses that at least half of the egress pods that have tried them cannot reach.',
    [],
    (metric) => metric.set(trunks.lost),
  );
  gauge(
    'linkspan_egress_silent_pods',
    'Egress pods that did not say what they can reach when they were asked last.',
    [],
    (metric) => metric.set(trunks.silent),
  );
  gauge(
    'linkspan_egress_skipped_entries',
    'Entries of the answers of egress pods that could not be read when they were asked last.',
    [],
    (metric) => metric.set(trunks.skipped),
  );
}

/** How often the status of a Link and Events about Links could not be written. */
function unwritten(gauge: MakeGauge, { runs, links, events }: MirrorController): void {
  gauge(
    'linkspan_event_write_failures',
    'Events about Links that could not be written, since this replica runs.',
    [],
    (metric) => metric.set(events.failures),
  );
  gauge(
    'linkspan_link_status_write_failures',
    'Writes of the status of a Link that failed, since this replica knows it.',
    ['target_cluster_name'],
    (metric) => {
      for (const [key, { statusFailures }] of runs) {
        const cluster = links.get(key)?.spec?.targetClusterName ?? '';
        metric.set({ target_cluster_name: cluster }, statusFailures);
      }
    },
  );
}

/** How much is held of each target, and how much may be. */
function budgets(gauge: MakeGauge, { runs }: MirrorController): void {
  const each = (
    name: string,
    help: string,
    read: (peer: TargetCluster, budget: (typeof BUDGETS)[number]) => number,
  ) =>
    gauge(name, help, ['target_cluster_name', 'budget'], (metric) => {
      for (const { peer } of runs.values()) {
        if (peer === undefined) continue;
        const target_cluster_name = peer.link.targetClusterName;
        for (const budget of BUDGETS) metric.set({ target_cluster_name, budget }, read(peer, budget));
      }
    });
  each('linkspan_peer_budget_used', 'What is held of a target, by budget.', (peer, budget) =>
    peer.budget.used(budget),
  );
  each(
    'linkspan_peer_budget_limit',
    'What may be held of a target, by budget.',
    (peer, budget) => peer.budget.limits[budget],
  );
}

/**
 * What import policies have left out of mirrors, how much of the quotas is taken, and which of this cluster's
 * ranges are not known.
 */
function imports(gauge: MakeGauge, { runs, ranges }: MirrorController): void {
  gauge(
    'linkspan_import_left_out',
    'Mirrors and memberships of which the import policy left something out, by reason.',
    ['target_cluster_name', 'reason'],
    (metric) => {
      for (const { peer } of runs.values())
        for (const [reason, count] of peer === undefined ? [] : countNotes(peer))
          metric.set({ target_cluster_name: peer?.link.targetClusterName ?? '', reason }, count);
    },
  );
  gauge(
    'linkspan_import_quota_used',
    "What a Link's mirrors take of its quotas (mirrors, egress-ports, metadata-bytes).",
    ['target_cluster_name', 'quota'],
    (metric) => {
      for (const { peer } of runs.values()) {
        if (peer === undefined) continue;
        const target_cluster_name = peer.link.targetClusterName;
        const { mirrors, egressPorts, metadataBytes } = peer.taken;
        metric.set({ target_cluster_name, quota: 'mirrors' }, mirrors);
        metric.set({ target_cluster_name, quota: 'egress-ports' }, egressPorts);
        metric.set({ target_cluster_name, quota: 'metadata-bytes' }, metadataBytes);
      }
    },
  );
  gauge(
    'linkspan_own_ranges_unknown',
    "Kinds of this cluster's own address ranges (pod, service, node) that are not known, so that addresses in them are not refused.",
    [],
    (metric) => metric.set(ranges.unknown.length),
  );
}

/** When the credentials of each Link expire, and how their renewal goes. */
function credentials(gauge: MakeGauge, { runs }: MirrorController): void {
  const cluster = (peer: TargetCluster) => ({ target_cluster_name: peer.link.targetClusterName });
  gauge(
    'linkspan_credentials_expiry_timestamp_seconds',
    "When a Link's token or client certificate expires, seconds since the epoch.",
    ['target_cluster_name'],
    (metric) => {
      for (const { peer, expiry } of runs.values())
        if (peer !== undefined && expiry !== undefined) metric.set(cluster(peer), expiry.expiresAt / 1000);
    },
  );
  gauge(
    'linkspan_credentials_renewals',
    'Until 0.3: linkspan_credentials_renewals_total.',
    ['target_cluster_name', 'result'],
    (metric) => {
      for (const { peer, renewals } of runs.values()) {
        if (peer === undefined || renewals === undefined) continue;
        for (const [result, count] of Object.entries(renewals))
          metric.set({ ...cluster(peer), result }, count);
      }
    },
  );
}

/** Linkerd's metrics of how many objects are held in memory; `cluster` is `local` or the target's name. */
function cacheSizes(gauge: MakeGauge, { view, links, runs }: MirrorController): void {
  const local = (name: string, help: string, size: () => number) =>
    gauge(name, help, ['cluster'], (metric) => metric.set({ cluster: 'local' }, size()));
  gauge('service_cache_size', 'Services held in memory.', ['cluster'], (metric) => {
    metric.set({ cluster: 'local' }, view.stores.services.size);
    for (const { peer } of runs.values())
      if (peer !== undefined)
        metric.set({ cluster: peer.link.targetClusterName }, peer.exports.services.size);
  });
  local('endpoints_cache_size', 'Endpoints held in memory.', () => view.stores.endpoints.size);
  local('namespace_cache_size', 'Namespaces held in memory.', () => view.stores.namespaces.size);
  local('link_cache_size', 'Links held in memory.', () => links.size);
}
