import {
  AT_LINK,
  CLUSTER,
  HERE,
  latency,
  LINK,
  NAMESPACE,
  quantiles,
  rate,
  success,
  sum,
} from './board-parts.ts';
import type { Board } from './grafana.ts';
import { series } from './promql.ts';

/** Requests of this cluster's clients: the egress knows which Link they take. */
const OUT = ['component="egress"', 'dst_target_cluster=~"$link"'];
const IN = ['component="gateway"'];
const gateways = (name: string) => `max by (cluster, target_cluster_name) (${series(name, HERE, AT_LINK)})`;
const SUCCESS = { unit: 'percentunit', max: 1, limits: [0.999, 0.99] } as const;

export const overviewBoard: Board = {
  uid: 'linkspan-overview',
  title: 'Linkspan / Overview',
  description: 'What fails, all Links at once, and what expires.',
  variables: [CLUSTER, NAMESPACE, LINK],
  rows: [
    {
      title: 'Now',
      panels: [
        { type: 'stat', title: 'Success, outgoing', ...SUCCESS, queries: [{ expr: success(OUT) }] },
        { type: 'stat', title: 'Success, incoming', ...SUCCESS, queries: [{ expr: success(IN) }] },
        {
          type: 'stat',
          title: 'Requests, outgoing',
          unit: 'reqps',
          queries: [{ expr: sum(rate('request_total', ...OUT)) }],
        },
        {
          type: 'stat',
          title: 'Requests, incoming',
          unit: 'reqps',
          queries: [{ expr: sum(rate('request_total', ...IN)) }],
        },
        { type: 'stat', title: 'p99, outgoing', unit: 'ms', queries: [{ expr: latency(0.99, OUT) }] },
        { type: 'stat', title: 'p99, incoming', unit: 'ms', queries: [{ expr: latency(0.99, IN) }] },
        {
          type: 'stat',
          title: 'Dead gateways',
          unit: 'short',
          limits: [0.5, 1],
          queries: [{ expr: `count(${gateways('gateway_alive')} == 0) or vector(0)` }],
        },
        {
          type: 'stat',
          title: 'Unreachable API servers',
          unit: 'short',
          limits: [0.5, 1],
          queries: [{ expr: `count(${gateways('linkspan_peer_reachable')} == 0) or vector(0)` }],
        },
        {
          type: 'stat',
          title: 'Mirrors',
          unit: 'short',
          queries: [{ expr: sum(gateways('linkspan_mirrors')) }],
        },
        {
          type: 'stat',
          title: 'In flight',
          description: 'Requests and raw connections that have begun and not ended.',
          unit: 'short',
          queries: [{ expr: sum(series('linkspan_requests_in_flight', HERE)) }],
        },
        {
          type: 'stat',
          title: 'Failovers',
          description: 'Services whose requests go elsewhere than when all is well.',
          unit: 'short',
          limits: [1, 100],
          queries: [
            {
              expr: `count(max by (cluster, service) (${series('linkspan_failover_active', HERE)}) == 1) or vector(0)`,
            },
          ],
        },
        {
          type: 'stat',
          title: 'Internal errors',
          description: 'Mistakes of ours within the last hour: each stands in a log with its stack.',
          unit: 'short',
          limits: [1, 10],
          queries: [
            {
              expr: `sum(increase(${series('linkspan_process_errors_total', HERE)}[1h])) + (sum(increase(${series('linkspan_internal_errors_total', HERE)}[1h])) or vector(0))`,
            },
          ],
        },
      ],
    },
    {
      title: 'What fails',
      panels: [
        {
          type: 'table',
          title: 'Alerts that fire',
          description: 'With the rules of the chart. What to do: docs/reference/reasons.md.',
          unit: 'short',
          columns: {
            alertname: 'Alert',
            severity: 'Severity',
            target_cluster_name: 'Link to',
            dst_namespace: 'Namespace',
            dst_service: 'Service',
            reason: 'Reason',
          },
          queries: [
            {
              expr: `count by (alertname, severity, target_cluster_name, dst_namespace, dst_service, reason) (${series('ALERTS', HERE, 'alertname=~"Linkspan.+"', 'alertstate="firing"')})`,
              legend: 'Count',
            },
          ],
        },
        {
          type: 'table',
          title: 'Failures of the proxies, by Service',
          description: 'What gateway and egress answered or ended themselves, and why.',
          unit: 'reqps',
          columns: {
            component: 'At',
            dst_namespace: 'Namespace',
            dst_service: 'Service',
            dst_target_cluster: 'Link to',
            error: 'Failure',
          },
          queries: [
            {
              expr: `${sum(rate('linkspan_failures_total'), 'component, dst_namespace, dst_service, dst_target_cluster, error')} > 0`,
              legend: 'Per second',
            },
          ],
        },
        {
          type: 'table',
          title: 'Mirrors that do not serve',
          unit: 'short',
          columns: { target_cluster_name: 'Link to', reason: 'Reason' },
          queries: [
            {
              expr: `${sum(series('linkspan_mirror_verdicts', HERE, 'reason!="Mirrored"'), 'target_cluster_name, reason')} > 0`,
              legend: 'Mirrors',
            },
          ],
        },
        {
          type: 'timeseries',
          title: 'Use of the error budget',
          description: 'How many times as fast as it may, over an hour. With the rules of the chart.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `topk(10, ${series('linkspan_service:failures:ratio_rate1h', HERE)} / scalar(max(linkspan:error_budget:ratio)))`,
              legend: '{{dst_namespace}}/{{dst_service}} {{component}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Links',
      panels: [
        {
          type: 'timeseries',
          title: 'Success',
          ...SUCCESS,
          queries: [
            {
              expr: success(OUT, 'cluster, dst_target_cluster'),
              legend: '{{cluster}} → {{dst_target_cluster}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: 'Requests',
          unit: 'reqps',
          queries: [
            {
              expr: sum(rate('request_total', ...OUT), 'cluster, dst_target_cluster'),
              legend: '{{cluster}} → {{dst_target_cluster}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: 'Latency',
          description: 'To the first byte of the response, as clients of the egress wait.',
          unit: 'ms',
          queries: quantiles(OUT, 'cluster, dst_target_cluster', '{{cluster}} → {{dst_target_cluster}}'),
        },
        {
          type: 'timeseries',
          title: 'Round trip',
          description: 'To the gateway addresses, as the egress pods measure it.',
          unit: 's',
          queries: [
            {
              expr: `avg by (cluster, target_cluster_name) (${series('linkspan_gateway_rtt_seconds', HERE, AT_LINK)})`,
              legend: '{{cluster}} → {{target_cluster_name}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: 'Gateways alive',
          unit: 'short',
          queries: [{ expr: gateways('gateway_alive'), legend: '{{cluster}} → {{target_cluster_name}}' }],
        },
        {
          type: 'timeseries',
          title: 'Failures on the way to gateways',
          unit: 'reqps',
          queries: [
            {
              expr: sum(rate('linkspan_gateway_failures_total', AT_LINK), 'cluster, target_cluster_name'),
              legend: '{{cluster}} → {{target_cluster_name}}',
            },
          ],
        },
      ],
    },
    {
      title: 'What expires',
      panels: [
        {
          type: 'timeseries',
          title: 'Certificates of gateways and egresses',
          unit: 's',
          queries: [
            {
              expr: `min by (cluster, component) (${series('control_identity_cert_expiration_timestamp_seconds', HERE)} > 0) - time()`,
              legend: '{{cluster}} {{component}}',
            },
          ],
        },
        {
          type: 'timeseries',
          title: 'Issuer and trust anchors',
          unit: 's',
          queries: [
            {
              expr: `min by (cluster, fingerprint) (${series('linkspan_trust_anchor_expiration_timestamp_seconds', HERE)}) - time()`,
              legend: '{{cluster}} anchor {{fingerprint}}',
            },
            {
              expr: `min by (cluster) (${series('linkspan_issuer_expiration_timestamp_seconds', HERE)} > 0) - time()`,
              legend: '{{cluster}} issuer',
            },
          ],
        },
        {
          type: 'timeseries',
          title: 'Credentials of Links',
          unit: 's',
          queries: [
            {
              expr: `min by (cluster, target_cluster_name) (${series('linkspan_credentials_expiry_timestamp_seconds', HERE, AT_LINK)}) - time()`,
              legend: '{{cluster}} → {{target_cluster_name}}',
            },
          ],
        },
      ],
    },
  ],
};
