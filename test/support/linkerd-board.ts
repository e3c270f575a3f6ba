/**
 * What Linkerd's multicluster board asks for, by what it shows: the expressions of the panels of
 * grafana/dashboards/multicluster.json in linkerd2 (Apache-2.0) at e1ba0e039074, whose variable is `cluster`.
 */
const OF = 'dst_target_cluster="$cluster", dst_target_cluster!=""';
const OUT = `${OF}, direction="outbound"`;
const rate = (name: string, matchers: string, how = 'irate') =>
  `${how}(${name}{${matchers}}[$__rate_interval])`;
const quantile = (which: number, by: string, how = 'irate') =>
  `histogram_quantile(${which}, sum(${rate('response_latency_ms_bucket', OUT, how)}) by (${by}))`;
const success = (by: string) =>
  `sum(${rate('response_total', `classification="success", ${OUT}`)})${by} / sum(${rate('response_total', OUT)})${by}`;
const BY_SERVICE = ' by (dst_target_service)';

export const LINKERD_BOARD: Readonly<Record<string, string>> = {
  'success rate': success(''),
  'request rate': `sum(${rate('request_total', OUT)})`,
  'request rate, with TLS': `sum(${rate('request_total', `${OUT}, tls="true"`)})`,
  'latency, p50': quantile(0.5, 'le'),
  'latency, p95': quantile(0.95, 'le'),
  'latency, p99': quantile(0.99, 'le'),
  'success rate by service': success(BY_SERVICE),
  'request rate by service, with TLS': `sum(${rate('request_total', `${OF}, tls="true"`)})${BY_SERVICE}`,
  'p95 by service': quantile(0.95, 'le, dst_target_service', 'rate'),
  'the variable': 'group by (dst_target_cluster) (request_total{dst_target_cluster!=""})',
};

/** Nothing crosses a cluster's border in the clear. */
export const LINKERD_BOARD_EMPTY: Readonly<Record<string, string>> = {
  'request rate, without TLS': `sum(${rate('request_total', `${OF}, tls!="true"`)})`,
  'request rate by service, without TLS': `sum(${rate('request_total', `${OF}, tls!="true"`)})${BY_SERVICE}`,
};
