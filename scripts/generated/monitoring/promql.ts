/** Parts of PromQL that rules and boards share. */

/** Labels that keep installations apart; `cluster` is an external label, and not there in one Prometheus. */
const INSTALLATION = 'cluster, namespace';
/** What is told of a Link. */
export const BY_LINK = `${INSTALLATION}, target_cluster_name`;
/** What is told of a pod. */
export const BY_POD = `${INSTALLATION}, pod`;
/** What is told of a Service at one end of a Link; `component` says which. */
export const BY_SERVICE = `${INSTALLATION}, component, dst_namespace, dst_service`;

/** An aggregation: `max by (…) (…)`. */
export function by(how: 'sum' | 'max' | 'min', labels: string, what: string): string {
  return `${how} by (${labels}) (${what})`;
}

/** A selector of series. @param matchers as they stand between the braces; empty ones are left out */
export function series(name: string, ...matchers: readonly string[]): string {
  const said = matchers.filter((one) => one !== '').join(',');
  return said === '' ? name : `${name}{${said}}`;
}

/** Any of several values of a label. */
export function oneOf(label: string, values: readonly string[]): string {
  return `${label}=~"${values.join('|')}"`;
}
