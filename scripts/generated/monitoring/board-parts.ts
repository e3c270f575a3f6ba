/** What boards have in common: variables, selectors, and the numbers of requests. */
import type { Query, Variable } from './grafana.ts';
import { series } from './promql.ts';

/** Every process has it, from its start. */
const ANY = 'linkspan_process_errors_total';
/** Of the installations that are chosen. */
export const HERE = 'cluster=~"$cluster",namespace=~"$namespace"';
export const AT_LINK = 'target_cluster_name=~"$link"';
/** A window that fits the time range, four scrapes at least. */
export const WINDOW = '$__rate_interval';

export const CLUSTER: Variable = {
  name: 'cluster',
  label: 'Cluster',
  query: `label_values(${ANY}, cluster)`,
};
/** Where Linkspan is installed; namespaces of Services are `service_namespace`. */
export const NAMESPACE: Variable = {
  name: 'namespace',
  label: "Linkspan's namespace",
  query: `label_values(${series(ANY, 'cluster=~"$cluster"')}, namespace)`,
};
export const LINK: Variable = {
  name: 'link',
  label: 'Link to',
  query: `label_values(${series('linkspan_peer_synced', HERE)}, target_cluster_name)`,
};

/** Per second. */
export function rate(name: string, ...matchers: readonly string[]): string {
  return `rate(${series(name, HERE, ...matchers)}[${WINDOW}])`;
}

/** @param labels what stays apart; default: nothing */
export function sum(what: string, labels = ''): string {
  return labels === '' ? `sum(${what})` : `sum by (${labels}) (${what})`;
}

/** Part of the responses that are no failures. */
export function success(matchers: readonly string[], labels = ''): string {
  const responses = sum(rate('response_total', ...matchers), labels);
  const failures = sum(rate('response_total', ...matchers, 'classification="failure"'), labels);
  // Who has never failed has no series of failures.
  return `1 - (${failures} or 0 * ${responses}) / ${responses}`;
}

/** Milliseconds to the first byte of a response. @param quantile 0 to 1 */
export function latency(quantile: number, matchers: readonly string[], labels = ''): string {
  const by = labels === '' ? 'le' : `le, ${labels}`;
  return `histogram_quantile(${quantile}, ${sum(rate('response_latency_ms_bucket', ...matchers), by)})`;
}

/** The three quantiles that people ask for. */
export function quantiles(matchers: readonly string[], labels: string, legend: string): Query[] {
  return [0.5, 0.95, 0.99].map((quantile) => ({
    expr: latency(quantile, matchers, labels),
    legend: `${legend} p${quantile * 100}`,
  }));
}
