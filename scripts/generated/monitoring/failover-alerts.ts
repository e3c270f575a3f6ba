/** Alerts about failover. */
import { by } from './promql.ts';
import type { Alert } from './rule.ts';

const SERVICE = 'cluster, namespace, service';

export const failoverAlerts: readonly Alert[] = [
  {
    name: 'LinkspanFailoverActive',
    severity: 'warning',
    // What somebody has asked for (drains, drills) is no alert. The reason may change meanwhile.
    expr: `${by('max', SERVICE, 'linkspan_failover_active{reason!~"Drained|DrillActive"}')} == 1`,
    for: '10m',
    summary: 'Requests of {{ $labels.service }} have gone elsewhere than when all is well for 10 minutes',
    reason: 'Failover',
    action: 'linkspan failover; linkspan explain reason Failover',
    meaning:
      'requests go elsewhere than they would if all were well, and nobody has asked for it (drains and drills are left out)',
  },
  {
    name: 'LinkspanCapacityShort',
    severity: 'critical',
    expr: `${by('max', SERVICE, 'linkspan_failover_capacity_short')} == 1`,
    for: '5m',
    summary:
      'All clusters together have too few endpoints for {{ $labels.service }}, and requests fail or wait, or no egress pod says how they fare',
    reason: 'CapacityShort',
    action: 'linkspan failover; linkspan explain reason CapacityShort',
    meaning: 'all backends of a Service together have too little',
  },
  {
    name: 'LinkspanFailoverFlapping',
    severity: 'warning',
    // Withdrawals are forgotten after 10 minutes of full use.
    expr: `${by('max', `${SERVICE}, backend`, 'linkspan_failover_flaps')} >= 3`,
    summary:
      '{{ $labels.backend }} comes and goes: it was withdrawn from {{ $labels.service }} three times or more',
    reason: 'FlapDamped',
    action: 'linkspan failover; linkspan explain reason FlapDamped',
    meaning: 'a backend was withdrawn three times or more and has not been in full use for ten minutes since',
  },
  {
    name: 'LinkspanFailoverFactsStale',
    severity: 'warning',
    expr: `${by('max', 'cluster, namespace, pod', 'linkspan_failover_facts_age_seconds')} > 60`,
    for: '1m',
    summary:
      "{{ $labels.pod }} has not heard this cluster's API server: no drain and no controller reaches it",
    reason: 'FactsStale',
    action: 'linkspan check',
    meaning:
      "an egress pod has not heard this cluster's API server for a minute: requests are divided by what it said last",
  },
  {
    name: 'LinkspanOwnNetworkSuspected',
    severity: 'critical',
    expr: `${by('max', 'cluster, namespace', 'linkspan_own_network_suspected')} == 1`,
    for: '1m',
    summary: 'The gateways of all clusters have died in one moment: is this cluster cut off?',
    reason: 'OwnNetworkSuspected',
    action: 'linkspan gateways; linkspan explain reason OwnNetworkSuspected',
    meaning: 'the gateways of all clusters have died in one moment',
  },
];
