import { CLUSTER, HERE, latency, NAMESPACE, quantiles, rate, success, sum } from './board-parts.ts';
import type { Board, Panel, Query, Unit, Variable } from './grafana.ts';
import { series } from './promql.ts';

const OF_SERVICE = ['dst_namespace="$service_namespace"', 'dst_service="$service"'];
/** At the gateway of the cluster that has the Service. */
const TARGET = ['component="gateway"', ...OF_SERVICE];
/** At the egress of a cluster that has a mirror of it. */
const SOURCE = [
  'component="egress"',
  'dst_target_service_namespace="$service_namespace"',
  'dst_target_service="$service"',
];
/** Its own ports, its mirrors and its federated Service, as series with `dst` call them. */
const DST = [
  'dst=~"$service\\\\.$service_namespace\\\\.svc.*|$service_namespace/$service(-[a-z0-9-]+)?:[0-9]+"',
];
const PARENT = ['parent_namespace="$service_namespace"', 'parent_name="$service"'];
const SUCCESS = { unit: 'percentunit', max: 1 } as const;
const EGRESS = '{{cluster}} → {{dst_target_cluster}}';
const BY_EGRESS = 'cluster, dst_target_cluster';
const GATEWAY = '{{cluster}} gateway';

/** What either end knows: the values of a label at the gateway, and of another one at the egress. */
function known(
  of: { gateway: string; egress: string },
  matchers: { gateway?: string; egress?: string } = {},
) {
  const values = (component: 'gateway' | 'egress') => {
    const found = series(
      'request_total',
      HERE,
      `component="${component}"`,
      `${of[component]}!=""`,
      matchers[component] ?? '',
    );
    return `label_replace(${found}, "name", "$1", "${of[component]}", "(.+)")`;
  };
  return {
    query: `query_result(group by (name) (${values('gateway')} or ${values('egress')}))`,
    regex: '/name="([^"]+)"/',
    single: true,
  };
}

const SERVICE_NAMESPACE: Variable = {
  name: 'service_namespace',
  label: 'Namespace of the Service',
  ...known({ gateway: 'dst_namespace', egress: 'dst_target_service_namespace' }),
};
const SERVICE: Variable = {
  name: 'service',
  label: 'Service',
  ...known(
    { gateway: 'dst_service', egress: 'dst_target_service' },
    {
      gateway: 'dst_namespace="$service_namespace"',
      egress: 'dst_target_service_namespace="$service_namespace"',
    },
  ),
};

/** The same number at both ends. */
const ends = (
  title: string,
  unit: Unit,
  at: (matchers: string[], by: string) => string,
  more = {},
): Panel => ({
  type: 'timeseries',
  title,
  unit,
  queries: [
    { expr: at(SOURCE, BY_EGRESS), legend: EGRESS },
    { expr: at(TARGET, 'cluster'), legend: GATEWAY },
  ],
  ...more,
});
const lines = (title: string, unit: Unit, ...queries: readonly Query[]): Panel => ({
  type: 'timeseries',
  title,
  unit,
  queries,
});

export const serviceBoard: Board = {
  uid: 'linkspan-service',
  title: 'Linkspan / Service',
  description: 'One Service, at both ends: the egress of those who ask, and the gateway before it.',
  variables: [CLUSTER, NAMESPACE, SERVICE_NAMESPACE, SERVICE],
  rows: [
    {
      title: 'Both ends',
      panels: [
        ends('Requests', 'reqps', (of, by) => sum(rate('request_total', ...of), by)),
        ends('Success', 'percentunit', success, SUCCESS),
        ends('Latency, p99', 'ms', (of, by) => latency(0.99, of, by)),
        lines('Latency at the egress', 'ms', ...quantiles(SOURCE, BY_EGRESS, EGRESS)),
        lines('Latency at the gateway', 'ms', ...quantiles(TARGET, 'cluster', GATEWAY)),
        lines(
          'Where the time goes',
          'ms',
          { expr: latency(0.5, SOURCE), legend: 'median, as clients wait' },
          { expr: latency(0.5, TARGET), legend: 'median, from gateway to endpoint' },
          {
            expr: `1000 * avg by (target_cluster_name) (${series('linkspan_gateway_rtt_seconds', HERE)})`,
            legend: 'round trip to {{target_cluster_name}}',
          },
        ),
        ends('In flight', 'short', (of, by) => sum(series('linkspan_requests_in_flight', HERE, ...of), by)),
        lines('Endpoints', 'short', {
          expr: sum(
            series('outbound_http_balancer_endpoints', HERE, 'component="gateway"', ...PARENT),
            'cluster, endpoint_state',
          ),
          legend: '{{cluster}} {{endpoint_state}}',
        }),
        lines('Connections to endpoints', 'short', {
          expr: sum(
            series('tcp_open_connections', HERE, 'component="gateway"', 'peer="dst"', ...OF_SERVICE),
            'cluster',
          ),
          legend: '{{cluster}}',
        }),
      ],
    },
    {
      title: 'By status',
      panels: [
        lines('Responses at the egress', 'reqps', {
          expr: sum(rate('response_total', ...SOURCE), `${BY_EGRESS}, status_code, grpc_status`),
          legend: `${EGRESS} {{status_code}} {{grpc_status}}`,
        }),
        lines('Responses at the gateway', 'reqps', {
          expr: sum(rate('response_total', ...TARGET), 'cluster, status_code, grpc_status'),
          legend: `${GATEWAY} {{status_code}} {{grpc_status}}`,
        }),
        lines(
          'Failures of the proxies, by kind',
          'reqps',
          {
            expr: sum(rate('linkspan_failures_total', ...SOURCE), `${BY_EGRESS}, error`),
            legend: `${EGRESS} {{error}}`,
          },
          {
            expr: sum(rate('linkspan_failures_total', ...TARGET), 'cluster, error'),
            legend: `${GATEWAY} {{error}}`,
          },
        ),
      ],
    },
    {
      title: 'Retries, timeouts, limits, faults',
      panels: [
        lines(
          'Retries',
          'reqps',
          {
            expr: sum(rate('outbound_http_route_retry_requests_total', ...PARENT), 'component, route_name'),
            legend: '{{component}} {{route_name}} sent',
          },
          {
            expr: sum(rate('outbound_http_route_retry_overflow_total', ...PARENT), 'component, route_name'),
            legend: '{{component}} {{route_name}} over budget',
          },
        ),
        lines('Timeouts', 'reqps', {
          expr: sum(rate('linkspan_timeouts_total', ...DST), 'component, rt_route, kind'),
          legend: '{{component}} {{rt_route}} {{kind}}',
        }),
        lines('Over a rate limit', 'reqps', {
          expr: sum(
            rate('inbound_http_local_ratelimit_total', ...OF_SERVICE),
            'ratelimit_name, ratelimit_scope',
          ),
          legend: '{{ratelimit_name}} {{ratelimit_scope}}',
        }),
        lines('Injected faults', 'reqps', {
          expr: sum(rate('linkspan_injected_faults_total', ...OF_SERVICE), 'fault'),
          legend: '{{fault}}',
        }),
        lines('Requests by route', 'reqps', {
          expr: sum(rate('route_request_total', ...DST), 'component, rt_route'),
          legend: '{{component}} {{rt_route}}',
        }),
        lines('Clusters of the federated Service', 'reqps', {
          expr: sum(rate('outbound_group_requests_total', ...DST), 'backend, outcome'),
          legend: '{{backend}} {{outcome}}',
        }),
      ],
    },
  ],
};
