import type { StatsReport } from '../api/answers/stats-report.ts';
import { backendOf } from '../api/ports/target-key.ts';
import type { SocketAddress } from '../base/address.ts';
import {
  type CountersSnapshot,
  addSnapshots,
  EMPTY_SNAPSHOT,
  viewOf,
} from '../proxy/metrics/counters-snapshot.ts';
import type { CountersView, Table } from '../proxy/metrics/counters-view.ts';
import type { LatencyFormat } from '../proxy/metrics/exposition-labels.ts';
import { countersExposition } from '../proxy/metrics/counters-exposition.ts';
import type { PairNumbers } from '../proxy/metrics/pair-counters.ts';
import { flowStats, routeStats, targetStats } from '../proxy/metrics/stats.ts';
import { Exposition, type LabelValues, type MetricFamily } from '../telemetry/exposition.ts';
import { NO_PROCESS_ERRORS, type ProcessErrors, writeProcessErrors } from '../telemetry/last-resort.ts';
import { droppedLinesFamily } from '../telemetry/line-writer.ts';
import type { Registry } from '../telemetry/registry.ts';
import {
  addSpanCounts,
  NO_SPANS,
  type SpanCounts,
  writeSpanCounts,
} from '../telemetry/traces/span-counts.ts';

/** Numbers of endpoints in one service's balancer. */
export interface BalancerCounts {
  readonly ready: number;
  readonly known: number;
}

/** Everything that a gateway process reports, as plain JSON. */
export interface GatewayReport {
  readonly counters: CountersSnapshot;
  /** By `name:port`, for services that have been requested. */
  readonly balancers: Readonly<Record<string, BalancerCounts>>;
  /** Lines that the access log has dropped. */
  readonly accessLogDropped: number;
  readonly spans: SpanCounts;
  /** Internal errors outside of flows. */
  readonly processErrors: ProcessErrors;
}

/** The same to be read for metrics: piece by piece, without copies of what there is for each service. */
export interface GatewayNumbers extends Pick<GatewayReport, 'accessLogDropped' | 'spans' | 'processErrors'> {
  readonly counters: CountersView;
  readonly balancers: Table<BalancerCounts>;
}

export function numbersOf(report: GatewayReport): GatewayNumbers {
  return { ...report, counters: viewOf(report.counters), balancers: Object.entries(report.balancers) };
}

/** The state of worker processes. */
export interface WorkerCounts {
  /** Workers that carry traffic. */
  readonly ready: number;
  /** Configured number of workers. */
  readonly wanted: number;
  /** Workers that ended and were replaced. */
  readonly restarts: number;
}

/** The report of a process that has done nothing yet. */
export const EMPTY_REPORT: GatewayReport = {
  counters: EMPTY_SNAPSHOT,
  balancers: {},
  accessLogDropped: 0,
  spans: NO_SPANS,
  processErrors: NO_PROCESS_ERRORS,
};

/**
 * The sum of two processes' reports. Both balance over the same endpoints, so those are not added; the better
 * view is taken.
 */
export function addReports(a: GatewayReport, b: GatewayReport): GatewayReport {
  const balancers: Record<string, BalancerCounts> = { ...a.balancers };
  for (const [label, counts] of Object.entries(b.balancers)) {
    const other = balancers[label];
    balancers[label] = {
      ready: Math.max(counts.ready, other?.ready ?? 0),
      known: Math.max(counts.known, other?.known ?? 0),
    };
  }
  return {
    counters: addSnapshots(a.counters, b.counters),
    balancers,
    accessLogDropped: a.accessLogDropped + b.accessLogDropped,
    spans: addSpanCounts(a.spans, b.spans),
    processErrors: {
      exceptions: a.processErrors.exceptions + b.processErrors.exceptions,
      rejections: a.processErrors.rejections + b.processErrors.rejections,
      contained: a.processErrors.contained + b.processErrors.contained,
    },
  };
}

/** What a gateway has counted since it started, all workers together, for `GET /stats`. */
export async function gatewayStats(
  { counters, balancers }: Pick<GatewayNumbers, 'counters' | 'balancers'>,
  pairs: readonly PairNumbers[],
  of: Omit<StatsReport, 'v' | 'process' | 'targets' | 'flows' | 'gateways' | 'routes'>,
): Promise<StatsReport> {
  const [targets, routes] = [await targetStats(counters, { balancers }), await routeStats(counters)];
  return { v: 1, process: 'gateway', ...of, targets, flows: flowStats(pairs), gateways: [], routes };
}

const PARENT = ['parent_group', 'parent_kind', 'parent_namespace', 'parent_name', 'parent_port'];
const BACKEND = ['backend_group', 'backend_kind', 'backend_namespace', 'backend_name', 'backend_port'];

/** Metrics of a gateway beside those of the data path. `docs/reference/metrics.md` lists the same. */
export const gatewayFamilies = {
  endpoints: {
    name: 'outbound_http_balancer_endpoints',
    type: 'gauge',
    labels: ['endpoint_state', ...PARENT, ...BACKEND],
    help: 'Endpoints of services that have been asked for, by whether they get traffic.',
  },
  build: {
    name: 'proxy_build_info',
    type: 'gauge',
    labels: ['vendor', 'version', 'runtime'],
    help: 'What runs here; always 1.',
  },
  workers: {
    name: 'linkspan_gateway_workers',
    type: 'gauge',
    labels: ['state'],
    help: 'Worker processes that are wanted, and that are ready.',
  },
  restarts: {
    name: 'linkspan_gateway_worker_restarts_total',
    type: 'counter',
    labels: [],
    help: 'Worker processes that ended and were replaced.',
  },
  accessLogDropped: droppedLinesFamily,
} as const satisfies Record<string, MetricFamily>;

/** What a gateway's metrics are made from. */
export interface GatewayMetricsOptions {
  /** The gateway's address, as a label of connections. */
  readonly listen: SocketAddress;
  readonly version: string;
  /** As of `ExpositionSource`. */
  readonly latency?: LatencyFormat | undefined;
  /** Reads the numbers, of this process or of all workers. */
  numbers(): GatewayNumbers | Promise<GatewayNumbers>;
  workers(): WorkerCounts | Promise<WorkerCounts>;
}

/** Publishes a gateway's metrics; computed at each scrape. */
export function publishGateway(registry: Registry, options: GatewayMetricsOptions): void {
  registry.addText(async () => {
    const [numbers, workers] = await Promise.all([options.numbers(), options.workers()]);
    const counters = countersExposition(numbers.counters, 'inbound', options);
    counters.append(gatewayExposition(numbers, workers, options.version));
    return counters.pieces();
  });
}

function gatewayExposition(numbers: GatewayNumbers, workers: WorkerCounts, version: string): Exposition {
  const out = new Exposition();
  out.write(
    gatewayFamilies.endpoints,
    Iterator.from(numbers.balancers).flatMap(([label, { ready, known }]) => [
      [{ endpoint_state: 'ready', ...backendLabels(label) }, ready] as const,
      [{ endpoint_state: 'pending', ...backendLabels(label) }, known - ready] as const,
    ]),
  );
  const bun = process.versions['bun'];
  const runtime = bun === undefined ? `node ${process.versions.node}` : `bun ${bun}`;
  out.write(gatewayFamilies.build, [[{ vendor: 'linkspan', version, runtime }, 1]]);
  const { ready, wanted, restarts } = workers;
  out.write(gatewayFamilies.workers, [
    [{ state: 'wanted' }, wanted],
    [{ state: 'ready' }, ready],
  ]);
  out.write(gatewayFamilies.restarts, [[{}, restarts]]);
  out.write(gatewayFamilies.accessLogDropped, [[{}, numbers.accessLogDropped]]);
  writeSpanCounts(out, numbers.spans);
  writeProcessErrors(out, numbers.processErrors);
  return out;
}

/** Labels of a backend, which is the service itself. A name that is no Kubernetes Service is used whole. */
function backendLabels(label: string): LabelValues {
  const { name, namespace, port } = backendOf(label);
  const of = (prefix: string) => ({
    [`${prefix}_group`]: 'core',
    [`${prefix}_kind`]: 'Service',
    [`${prefix}_namespace`]: namespace,
    [`${prefix}_name`]: name,
    [`${prefix}_port`]: port,
  });
  return { ...of('parent'), ...of('backend') };
}
