import { CLUSTER, HERE, NAMESPACE, rate, sum } from './board-parts.ts';
import type { Board, Panel, Unit } from './grafana.ts';
import { series } from './promql.ts';

const PROCESS = ['component=~"$component"', 'pod=~"$pod"'];
const POD = '{{cluster}} {{pod}}';
const of = (name: string, ...matchers: readonly string[]) => series(name, HERE, ...PROCESS, ...matchers);
const perSecond = (name: string, ...matchers: readonly string[]) => rate(name, ...PROCESS, ...matchers);
const lines = (title: string, unit: Unit, expr: string, legend = POD, more: Partial<Panel> = {}): Panel =>
  ({ type: 'timeseries', title, unit, queries: [{ expr, legend }], ...more }) as Panel;

export const processesBoard: Board = {
  uid: 'linkspan-processes',
  title: 'Linkspan / Processes',
  description: 'Controllers, signers, gateways and egresses as processes.',
  variables: [
    CLUSTER,
    NAMESPACE,
    {
      name: 'component',
      label: 'Component',
      query: `label_values(${series('linkspan_process_errors_total', HERE)}, component)`,
    },
    {
      name: 'pod',
      label: 'Pod',
      query: `label_values(${series('linkspan_process_errors_total', HERE, 'component=~"$component"')}, pod)`,
    },
  ],
  rows: [
    {
      title: 'Process',
      panels: [
        lines('CPU', 'short', perSecond('process_cpu_seconds_total'), POD, { description: 'Of one CPU.' }),
        lines('Memory', 'bytes', of('process_resident_memory_bytes')),
        lines('Heap in use', 'bytes', of('nodejs_heap_size_used_bytes')),
        lines('Event loop, p99 of its delay', 's', of('nodejs_eventloop_lag_p99_seconds'), POD, {
          description:
            'How late a turn begins. While it is high everything waits; of gateways with workers it is that of the process that serves metrics.',
        }),
        lines(
          'Garbage collection',
          'percentunit',
          sum(perSecond('nodejs_gc_duration_seconds_sum'), 'cluster, pod, kind'),
          `${POD} {{kind}}`,
          { description: 'Part of the time that it takes.' },
        ),
        lines('Open files and sockets', 'short', of('process_open_fds')),
        lines(
          'Internal errors',
          'ops',
          sum(perSecond('linkspan_process_errors_total'), 'cluster, pod, kind'),
          `${POD} {{kind}}`,
        ),
        lines('Running since', 's', `time() - ${of('process_start_time_seconds')}`),
        {
          type: 'table',
          title: 'Versions',
          unit: 'short',
          width: 8,
          columns: { cluster: 'Cluster', component: 'Component', version: 'Version', runtime: 'Runtime' },
          queries: [
            {
              expr: `count by (cluster, component, version, runtime) (${of('proxy_build_info', 'vendor="linkspan"')})`,
              legend: 'Pods',
            },
          ],
        },
      ],
    },
    {
      title: 'Gateways and egresses',
      panels: [
        lines('Requests', 'reqps', sum(perSecond('request_total'), 'cluster, pod')),
        lines('In flight', 'short', sum(of('linkspan_requests_in_flight'), 'cluster, pod')),
        lines(
          'Open connections',
          'short',
          sum(of('tcp_open_connections'), 'cluster, pod, peer'),
          `${POD} {{peer}}`,
        ),
        lines('Read', 'Bps', sum(perSecond('tcp_read_bytes_total'), 'cluster, pod, peer'), `${POD} {{peer}}`),
        lines(
          'Written',
          'Bps',
          sum(perSecond('tcp_write_bytes_total'), 'cluster, pod, peer'),
          `${POD} {{peer}}`,
        ),
        lines(
          'Streams',
          'cps',
          sum(perSecond('linkspan_streams_total'), 'cluster, pod, kind'),
          `${POD} {{kind}}`,
        ),
        lines(
          'Connections in stream mode',
          'short',
          sum(of('linkspan_stream_connections'), 'cluster, pod, direction'),
          `${POD} {{direction}}`,
        ),
        lines('Workers', 'short', of('linkspan_gateway_workers'), `${POD} {{state}}`),
        lines('Workers that ended', 'ops', perSecond('linkspan_gateway_worker_restarts_total')),
        lines(
          'Connections refused',
          'cps',
          sum(perSecond('inbound_tcp_errors_total'), 'cluster, pod, error'),
          `${POD} {{error}}`,
        ),
        lines(
          'Requests refused or failed',
          'reqps',
          `${sum(perSecond('inbound_http_errors_total'), 'cluster, pod, error')} or ${sum(perSecond('outbound_http_errors_total'), 'cluster, pod, error')}`,
          `${POD} {{error}}`,
        ),
        lines(
          'Certificate expires',
          's',
          `(${of('control_identity_cert_expiration_timestamp_seconds')} > 0) - time()`,
        ),
        lines(
          'Host names of gateways',
          'short',
          sum(of('linkspan_host_names'), 'cluster, pod, state'),
          `${POD} {{state}}`,
        ),
        lines('Lines of the access log left out', 'ops', perSecond('linkspan_access_log_dropped_total')),
        lines(
          'Spans',
          'ops',
          sum(perSecond('linkspan_spans_total'), 'cluster, pod, result'),
          `${POD} {{result}}`,
        ),
        lines(
          'Events of taps',
          'ops',
          sum(perSecond('linkspan_tap_events_total'), 'cluster, pod, result'),
          `${POD} {{result}}`,
        ),
        lines("Age of the egress' facts", 's', of('linkspan_failover_facts_age_seconds'), POD, {
          description: "Since this cluster's API server was heard.",
        }),
      ],
    },
    {
      title: 'Controllers and signers',
      panels: [
        lines('Services that wait', 'short', of('linkspan_queue_depth'), '{{pod}} {{target_cluster_name}}'),
        lines(
          'Writes to mirrors',
          'ops',
          perSecond('linkspan_mirror_writes_total'),
          '{{pod}} {{target_cluster_name}}',
        ),
        lines('Longest write', 's', of('linkspan_mirror_lag_seconds'), '{{pod}} {{target_cluster_name}}'),
        lines(
          'Status and Events not written',
          'ops',
          `${perSecond('linkspan_link_status_write_failures')} or ${perSecond('linkspan_event_write_failures')}`,
          '{{pod}} {{target_cluster_name}}',
        ),
        lines('Silent egress pods', 'short', of('linkspan_egress_silent_pods')),
        lines(
          'Certificate requests',
          'ops',
          sum(perSecond('linkspan_signer_requests_total'), 'cluster, pod, result'),
          `${POD} {{result}}`,
        ),
      ],
    },
  ],
};
