import { backendOf } from '../../api/ports/target-key.ts';
import { type Exposition, type LabelValues, type MetricFamily } from '../../telemetry/exposition.ts';
import { PROFILE_GROUP } from '../../api/linkerd/linkerd-kinds.ts';
import { readKey } from './counters.ts';
import { LATENCY_BUCKETS, readResponseKey, type ResponseNumbers } from './histogram.ts';
import type { Table } from './counters-view.ts';
import { readAnswerKey, type RouteCounts } from './route-counters.ts';

const ROUTE = ['direction', 'dst', 'rt_route'];
const ANSWER = [...ROUTE, 'status_code', 'classification', 'grpc_status'];
const PARENT = ['parent_group', 'parent_kind', 'parent_namespace', 'parent_name', 'parent_port'];
const RETRY = [...PARENT, 'route_group', 'route_kind', 'route_namespace', 'route_name'];

const counter = (name: string, labels: readonly string[], help: string): MetricFamily => ({
  name,
  type: 'counter',
  labels,
  help,
});
const histogram = (name: string, help: string): MetricFamily => ({
  name,
  type: 'histogram',
  labels: [...ROUTE, 'status_code', 'le'],
  help,
});

/**
 * The metrics of services with retries, timeouts or a ServiceProfile: linkerd2-proxy's names where it has
 * them.
 */
export const routeFamilies = {
  routeRequest: counter('route_request_total', ROUTE, 'Requests, by route of the ServiceProfile.'),
  routeResponse: counter('route_response_total', ANSWER, 'Responses as clients get them, after retries.'),
  routeLatency: histogram(
    'route_response_latency_ms',
    'Time to the first byte of a response, retries included, milliseconds.',
  ),
  actualRequest: counter('route_actual_request_total', ROUTE, 'Tries.'),
  actualResponse: counter('route_actual_response_total', ANSWER, 'Responses to single tries.'),
  actualLatency: histogram(
    'route_actual_response_latency_ms',
    'Time to the first byte of the response to a try, milliseconds.',
  ),
  retryable: counter(
    'route_retryable_total',
    [...ROUTE, 'skipped'],
    'Answers that could be asked for again; skipped says why they were not.',
  ),
  retryRequests: counter('outbound_http_route_retry_requests_total', RETRY, 'Retries sent.'),
  retrySuccesses: counter(
    'outbound_http_route_retry_successes_total',
    RETRY,
    'Retries that brought an answer to pass on.',
  ),
  retryLimit: counter(
    'outbound_http_route_retry_limit_exceeded_total',
    RETRY,
    'Requests that were not tried again because they had been tried as often as may be.',
  ),
  retryOverflow: counter(
    'outbound_http_route_retry_overflow_total',
    RETRY,
    'Requests that were not tried again because the budget was used up.',
  ),
  timeouts: counter(
    'linkspan_timeouts_total',
    [...ROUTE, 'kind'],
    'Requests, and tries, that were given up: request, response, idle, try.',
  ),
} as const satisfies Record<string, MetricFamily>;

/** One route of one service, with its labels. */
interface Sample {
  readonly route: LabelValues;
  readonly retry: LabelValues;
  readonly numbers: RouteCounts;
}

/** Gives all routes anew. */
type Samples = () => IteratorObject<Sample>;

/** Writes what was counted of routes. @param routes by target and route */
export function writeRoutes(out: Exposition, routes: Table<RouteCounts>): void {
  const samples: Samples = () =>
    Iterator.from(routes).map(([key, numbers]) => {
      const [dst = '', name = ''] = readKey(key);
      return {
        numbers,
        route: { direction: 'outbound', dst, ...(name === '' ? {} : { rt_route: name }) },
        retry: retryLabels(dst, name),
      };
    });
  writeTraffic(out, samples);
  writeRetries(out, samples);
  out.write(
    routeFamilies.timeouts,
    samples().flatMap(({ route, numbers }) =>
      Object.entries(numbers.timeouts).flatMap(([kind, count]) =>
        count === 0 ? [] : [[{ ...route, kind }, count] as const],
      ),
    ),
  );
}

function retryLabels(dst: string, route: string): LabelValues {
  const { name, namespace, port } = backendOf(dst);
  const plain = route === '';
  return {
    parent_group: 'core',
    parent_kind: 'Service',
    parent_namespace: namespace,
    parent_name: name,
    parent_port: port,
    route_group: plain ? '' : PROFILE_GROUP,
    route_kind: plain ? 'default' : 'ServiceProfile',
    route_namespace: plain ? '' : namespace,
    route_name: plain ? 'http' : route,
  };
}

function writeTraffic(out: Exposition, samples: Samples): void {
  const counts = (family: MetricFamily, read: (numbers: RouteCounts) => number) =>
    out.write(
      family,
      samples().map(({ route, numbers }) => [route, read(numbers)]),
    );
  type Answers = RouteCounts['responses'];
  const answers = (family: MetricFamily, read: (numbers: RouteCounts) => Answers) =>
    out.write(
      family,
      samples().flatMap(({ route, numbers }) =>
        Object.entries(read(numbers)).map(
          ([key, { count }]) => [{ ...route, ...answerLabels(Number(key)) }, count] as const,
        ),
      ),
    );
  const latencies = (family: MetricFamily, read: (numbers: RouteCounts) => Answers) =>
    out.writeHistogram(
      family,
      LATENCY_BUCKETS,
      samples().flatMap(({ route, numbers }) =>
        [...byStatus(read(numbers))].map(
          ([status_code, counted]) => [{ ...route, status_code }, counted] as const,
        ),
      ),
    );
  counts(routeFamilies.routeRequest, ({ requests }) => requests);
  answers(routeFamilies.routeResponse, ({ responses }) => responses);
  latencies(routeFamilies.routeLatency, ({ responses }) => responses);
  counts(routeFamilies.actualRequest, ({ attempts }) => attempts);
  answers(routeFamilies.actualResponse, (numbers) => numbers.answers);
  latencies(routeFamilies.actualLatency, (numbers) => numbers.answers);
}

function writeRetries(out: Exposition, samples: Samples): void {
  const outcomes = (family: MetricFamily, read: (retries: RouteCounts['retries']) => number) =>
    out.write(
      family,
      samples().map(({ retry, numbers }) => [retry, read(numbers.retries)]),
    );
  out.write(
    routeFamilies.retryable,
    samples().flatMap(({ route, numbers: { retries } }) => {
      const skipped = [
        ['no_budget', retries.overBudget],
        ['limit', retries.exhausted],
        ['unreplayable', retries.unreplayable],
      ] as const;
      return [
        [route, retries.sent] as const,
        ...skipped.flatMap(([why, count]) =>
          count === 0 ? [] : [[{ ...route, skipped: why }, count] as const],
        ),
      ];
    }),
  );
  outcomes(routeFamilies.retryRequests, ({ sent }) => sent);
  outcomes(routeFamilies.retrySuccesses, ({ succeeded }) => succeeded);
  outcomes(routeFamilies.retryLimit, ({ exhausted }) => exhausted);
  outcomes(routeFamilies.retryOverflow, ({ overBudget }) => overBudget);
}

function answerLabels(answer: number): LabelValues {
  const { key, failed } = readAnswerKey(answer);
  const { status, grpc } = readResponseKey(key);
  const classification = failed ? 'failure' : 'success';
  return { status_code: status, classification, ...(grpc === undefined ? {} : { grpc_status: grpc }) };
}

function byStatus(
  answers: RouteCounts['responses'],
): Map<number, { readonly buckets: readonly number[]; readonly sum: number }> {
  const found = new Map<number, { buckets: number[]; sum: number }>();
  for (const [answer, { buckets, latencySum }] of Object.entries(answers) as [string, ResponseNumbers][]) {
    const { status } = readResponseKey(readAnswerKey(Number(answer)).key);
    const known = found.get(status);
    if (known === undefined) found.set(status, { buckets: [...buckets], sum: latencySum });
    else {
      known.sum += latencySum;
      for (const [at, count] of buckets.entries()) known.buckets[at] = (known.buckets[at] ?? 0) + count;
    }
  }
  return found;
}
