import { AT_LINK, CLUSTER, HERE, LINK, NAMESPACE, quantiles, rate, success, sum } from './board-parts.ts';
import type { Board, Panel, Unit } from './grafana.ts';
import { series } from './promql.ts';

const OUT = ['component="egress"', 'dst_target_cluster=~"$link"'];
const said = (name: string, how = 'max') => `${how}(${series(name, HERE, AT_LINK)})`;
const stat = (title: string, unit: Unit, expr: string, more: Partial<Panel> = {}): Panel =>
  ({ type: 'stat', title, unit, queries: [{ expr }], ...more }) as Panel;
const SUCCESS = { unit: 'percentunit', max: 1 } as const;
const MIRROR = 'dst_namespace, dst_service';
const MIRROR_NAME = '{{dst_namespace}}/{{dst_service}}';
/** By gateway address. */
const address = (title: string, unit: Unit, expr: string): Panel => ({
  type: 'timeseries',
  title,
  unit,
  queries: [{ expr, legend: '{{gateway}}' }],
});

export const linkBoard: Board = {
  uid: 'linkspan-link',
  title: 'Linkspan / Link',
  description: 'One Link: its target, its gateway addresses, its mirrors, and what passes.',
  variables: [CLUSTER, NAMESPACE, { ...LINK, single: true }],
  rows: [
    {
      title: 'State',
      panels: [
        stat('Gateway alive', 'bool_yes_no', said('gateway_alive'), { limits: [1, 0.5] }),
        stat('API server reachable', 'bool_yes_no', said('linkspan_peer_reachable'), { limits: [1, 0.5] }),
        stat('Synced', 'bool_yes_no', said('linkspan_peer_synced'), { limits: [1, 0.5] }),
        stat('Last word', 's', said('linkspan_peer_last_word_seconds', 'min'), { limits: [60, 600] }),
        stat('Exports', 'short', said('linkspan_exports')),
        stat('Mirrors', 'short', said('linkspan_mirrors')),
        stat(
          'Credentials expire',
          's',
          `${said('linkspan_credentials_expiry_timestamp_seconds', 'min')} - time()`,
        ),
        stat('Waiting Services', 'short', said('linkspan_queue_depth'), { limits: [100, 1000] }),
        stat('Longest write', 's', said('linkspan_mirror_lag_seconds'), { limits: [5, 60] }),
        stat(
          'Budget used',
          'percentunit',
          `max(${series('linkspan_peer_budget_used', HERE, AT_LINK)} / ${series('linkspan_peer_budget_limit', HERE, AT_LINK)})`,
          { description: 'Of the budget that is nearest to its end.', limits: [0.8, 0.95] },
        ),
        stat('Streams', 'short', said('linkspan_trunk_streams', 'sum')),
        stat('Round trip', 's', said('linkspan_gateway_rtt_seconds', 'avg')),
        {
          type: 'table',
          title: 'Mirrors by verdict',
          unit: 'short',
          columns: { reason: 'Reason' },
          queries: [
            {
              expr: `${sum(series('linkspan_mirror_verdicts', HERE, AT_LINK), 'reason')} > 0`,
              legend: 'Mirrors',
            },
          ],
        },
        {
          type: 'table',
          title: 'Left out by the import policy',
          unit: 'short',
          columns: { reason: 'Reason' },
          queries: [
            {
              expr: `${sum(series('linkspan_import_left_out', HERE, AT_LINK), 'reason')} > 0`,
              legend: 'Mirrors',
            },
          ],
        },
      ],
    },
    {
      title: 'Gateway addresses, as the egress pods find them',
      panels: [
        address(
          'Round trip',
          's',
          `avg by (gateway) (${series('linkspan_gateway_rtt_seconds', HERE, AT_LINK)})`,
        ),
        address(
          'Least round trip',
          's',
          `min by (gateway) (${series('linkspan_gateway_rtt_least_seconds', HERE, AT_LINK)})`,
        ),
        {
          type: 'timeseries',
          title: 'Probes of the controller',
          description: 'Milliseconds of the last one that was answered.',
          unit: 'ms',
          queries: [
            {
              expr: `max by (target_cluster_name) (${series('gateway_latency', HERE, AT_LINK)})`,
              legend: '{{target_cluster_name}}',
            },
          ],
        },
        address('Requests', 'reqps', sum(rate('linkspan_gateway_requests_total', AT_LINK), 'gateway')),
        address('Failures', 'reqps', sum(rate('linkspan_gateway_failures_total', AT_LINK), 'gateway')),
        address('Streams', 'short', sum(series('linkspan_trunk_streams', HERE, AT_LINK), 'gateway')),
        {
          type: 'timeseries',
          title: 'Egress pods by what they say of an address',
          unit: 'short',
          stacked: true,
          queries: [
            {
              expr: sum(series('linkspan_gateway_state', HERE, AT_LINK), 'gateway, state'),
              legend: '{{gateway}} {{state}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: 'Probes',
          unit: 'ops',
          queries: [
            {
              expr: sum(rate('gateway_probes', AT_LINK), 'probe_successful'),
              legend: 'answered: {{probe_successful}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: 'Writes to mirrors',
          unit: 'ops',
          queries: [
            {
              expr: sum(rate('linkspan_mirror_writes_total', AT_LINK), 'target_cluster_name'),
              legend: '{{target_cluster_name}}',
            },
          ],
        },
      ],
    },
    {
      title: 'What passes, by mirror',
      panels: [
        {
          type: 'timeseries',
          title: 'Requests',
          unit: 'reqps',
          queries: [{ expr: `topk(20, ${sum(rate('request_total', ...OUT), MIRROR)})`, legend: MIRROR_NAME }],
        },
        {
          type: 'timeseries',
          title: 'Success, of the worst',
          ...SUCCESS,
          queries: [{ expr: `bottomk(20, ${success(OUT, MIRROR)})`, legend: MIRROR_NAME }],
        },
        {
          type: 'timeseries',
          title: 'Latency of all',
          unit: 'ms',
          queries: quantiles(OUT, 'dst_target_cluster', '{{dst_target_cluster}}'),
        },
        {
          type: 'timeseries',
          title: 'Failures of the egress, by kind',
          unit: 'reqps',
          queries: [
            {
              expr: sum(rate('linkspan_failures_total', ...OUT), 'error'),
              legend: '{{error}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: 'In flight',
          unit: 'short',
          queries: [
            {
              expr: `topk(20, ${sum(series('linkspan_requests_in_flight', HERE, ...OUT), MIRROR)})`,
              legend: MIRROR_NAME,
            },
          ],
        },
        {
          type: 'timeseries',
          title: 'Clients that may not use a mirror',
          unit: 'reqps',
          queries: [
            {
              expr: sum(rate('linkspan_relay_refused_clients_total'), 'mirror, reason'),
              legend: '{{mirror}} {{reason}}',
            },
          ],
        },
      ],
    },
  ],
};
