/** Alerts about processes: certificates, workers, refused clients, telemetry. */
import { BY_POD, by, oneOf, series } from './promql.ts';
import type { Alert } from './rule.ts';

const END = by(
  'min',
  BY_POD,
  series('control_identity_cert_expiration_timestamp_seconds', 'component=~"gateway|egress"'),
);
const BEGIN = by(
  'max',
  BY_POD,
  series('control_identity_cert_refresh_timestamp_seconds', 'component=~"gateway|egress"'),
);
const ISSUER = by('max', 'cluster, namespace', 'linkspan_issuer_expiration_timestamp_seconds');
const workers = (state: string) => by('max', BY_POD, series('linkspan_gateway_workers', `state="${state}"`));
const COMPONENTS = ['controller', 'egress', 'gateway', 'signer'];
const ANCHOR = by(
  'min',
  'cluster, namespace, fingerprint',
  'linkspan_trust_anchor_expiration_timestamp_seconds',
);
const CHECK = 'linkspan check';

/**
 * What was lost because nobody took it in time, by what it is. Spans above the limit of a second, and events
 * above the rate of a tap, are left out as they should be.
 */
const LOST = [
  lost('lines of its access log', series('linkspan_access_log_dropped_total')),
  lost('events of taps', series('linkspan_tap_events_total', 'result="dropped"')),
  lost('spans', series('linkspan_spans_total', oneOf('result', ['failed', 'queue_full', 'rejected']))),
].join(' or ');

function lost(what: string, counter: string): string {
  return `label_replace(increase(${counter}[15m]), "telemetry", "${what}", "", "")`;
}

/** An anchor takes long to replace: it is in every cluster. */
const anchorExpires = (days: number, severity: Alert['severity']): Alert => ({
  name: 'LinkspanTrustAnchorExpires',
  severity,
  expr: `${ANCHOR} - time() < ${days} * 86400`,
  for: '1h',
  labels: { within: `${days}d` },
  summary: 'The trust anchor {{ $labels.fingerprint }} expires in {{ $value | humanizeDuration }}',
  reason: 'TrustAnchorExpiring',
  action: 'linkspan identity show; linkspan check',
  meaning: `a trust anchor expires within ${days} days`,
});

export const processAlerts: readonly Alert[] = [
  anchorExpires(60, 'warning'),
  anchorExpires(7, 'critical'),
  {
    name: 'LinkspanCertificateExpires',
    severity: 'critical',
    expr: `(${END} > 0) - time() < 0.2 * (${END} - ${BEGIN})`,
    for: '5m',
    summary: 'The certificate of {{ $labels.pod }} expires in {{ $value | humanizeDuration }}',
    reason: 'CertificateExpiring',
    action: CHECK,
    meaning: 'less than a fifth of the life of the certificate of a gateway or egress is left',
  },
  {
    name: 'LinkspanNoCertificate',
    severity: 'critical',
    expr: `${END} == 0`,
    for: '5m',
    summary: '{{ $labels.pod }} has no certificate',
    reason: 'NoCertificate',
    action: CHECK,
    meaning: 'a gateway or egress has no certificate',
  },
  {
    name: 'LinkspanIssuerExpires',
    severity: 'warning',
    expr: `(${ISSUER} > 0) - time() < 30 * 86400`,
    for: '1h',
    summary: 'The certificate of the issuer expires in {{ $value | humanizeDuration }}',
    reason: 'IssuerExpiring',
    action: CHECK,
    meaning: "the issuer's certificate expires within 30 days",
  },
  {
    name: 'LinkspanNoIssuer',
    severity: 'critical',
    expr: `${ISSUER} == 0`,
    for: '15m',
    summary: 'The signer has no good issuer: certificates of gateways and egresses are not renewed',
    reason: 'NoIssuer',
    action: CHECK,
    meaning: 'the signer has no good issuer',
  },
  {
    name: 'LinkspanWorkersMissing',
    severity: 'warning',
    expr: `${workers('ready')} < ${workers('wanted')}`,
    for: '5m',
    summary: '{{ $labels.pod }} has {{ $value }} workers, which is fewer than it should',
    reason: 'WorkersMissing',
    action: 'kubectl -n {{ $labels.namespace }} logs {{ $labels.pod }}',
    meaning: 'a gateway has fewer workers than it should',
  },
  {
    name: 'LinkspanWorkersCrash',
    severity: 'critical',
    expr: `${by('max', BY_POD, 'increase(linkspan_gateway_worker_restarts_total[15m])')} > 3`,
    summary: 'Workers of {{ $labels.pod }} end again and again',
    reason: 'WorkersCrashing',
    action: 'kubectl -n {{ $labels.namespace }} logs {{ $labels.pod }}',
    meaning: 'more than three workers of a gateway have ended in a quarter of an hour',
  },
  {
    name: 'LinkspanClientsRefused',
    severity: 'warning',
    expr: `${by('sum', `${BY_POD}, error`, 'rate(inbound_tcp_errors_total{error=~"tls|client certificate|no client identity|unauthorized"}[5m])')} > 1`,
    for: '15m',
    summary: '{{ $labels.pod }} refuses {{ $value | humanize }} connections per second: {{ $labels.error }}',
    reason: 'ClientsRefused',
    action: 'kubectl -n {{ $labels.namespace }} logs {{ $labels.pod }}; linkspan check',
    meaning: 'a gateway refuses more than one connection per second for want of a certificate or a right',
  },
  {
    name: 'LinkspanTelemetryLost',
    severity: 'warning',
    expr: `${by('sum', `${BY_POD}, telemetry`, LOST)} > 0`,
    for: '15m',
    summary: '{{ $labels.pod }} loses {{ $labels.telemetry }}',
    reason: 'TelemetryLost',
    action: 'linkspan explain reason TelemetryLost',
    meaning: 'a pod has lost lines of its access log, events of taps or spans for a quarter of an hour',
  },
  {
    name: 'LinkspanNotScraped',
    severity: 'warning',
    // What a cluster has of Linkspan differs; what is scraped at all is known by `up`.
    expr: `${by('max', 'cluster, namespace, component', `up{job=~".*linkspan.*",${oneOf('component', COMPONENTS)}}`)} == 0 or absent(proxy_build_info{vendor="linkspan"} or linkspan_own_network_suspected)`,
    for: '10m',
    summary: 'Prometheus reads nothing of Linkspan, or of its {{ $labels.component }}',
    reason: 'NotScraped',
    action: CHECK,
    meaning: 'Prometheus reads nothing of Linkspan, or no pod of a component that it should',
  },
];
