/** Alerts about Links: gateways, API servers, credentials, mirrors. */
import { isUnmirrored, mirrorReasons, type MirrorReason } from '../../../src/api/reasons/mirror-reasons.ts';
import { BY_LINK, by, oneOf, series } from './promql.ts';
import { type Alert, OF_SERIES } from './rule.ts';

const unmirrored = (Object.keys(mirrorReasons) as MirrorReason[]).filter(isUnmirrored).sort();
/** A mirror is there, or waits, and nobody serves; a dead gateway is an alert of its own. */
const WITHOUT_ENDPOINTS = ['GatewayUnresolved', 'NoEgress', 'NoReadyEndpoints'];
const max = (what: string) => by('max', BY_LINK, what);
const min = (what: string) => by('min', BY_LINK, what);
const verdicts = (matcher: string, labels = `${BY_LINK}, reason`) =>
  by('sum', labels, series('linkspan_mirror_verdicts', matcher));
const END = min('linkspan_credentials_expiry_timestamp_seconds');
const BEGIN = max('linkspan_credentials_issued_timestamp_seconds');
const RTT = by('min', `${BY_LINK}, gateway`, 'linkspan_gateway_rtt_seconds');
const LEAST = by('min', `${BY_LINK}, gateway`, 'linkspan_gateway_rtt_least_seconds');

export const linkAlerts: readonly Alert[] = [
  {
    name: 'LinkspanGatewayDead',
    severity: 'critical',
    expr: `${max('gateway_alive')} == 0 and ${max('gateway_enabled')} == 1`,
    for: '1m',
    summary: 'No address of the gateway of {{ $labels.target_cluster_name }} answers its probes',
    reason: 'GatewayDead',
    action: 'linkspan gateways -o wide; linkspan explain link {{ $labels.target_cluster_name }}',
    meaning: 'no address of a gateway answers its probes',
  },
  {
    name: 'LinkspanGatewayFlaps',
    severity: 'warning',
    expr: `${max('changes(gateway_alive[15m])')} > 4`,
    summary: 'The gateway of {{ $labels.target_cluster_name }} comes and goes',
    reason: 'GatewayFlapping',
    action: 'linkspan gateways -o wide',
    meaning: 'a gateway has come and gone five times in a quarter of an hour',
  },
  {
    name: 'LinkspanLinkFlaps',
    severity: 'warning',
    // At each end of it: what becomes of other conditions goes by what is exported.
    expr: `${by('sum', BY_LINK, 'increase(linkspan_link_transitions_total{condition="APIReachable",status="False"}[30m])')} > 3`,
    summary: 'The API server of {{ $labels.target_cluster_name }} comes and goes',
    reason: 'LinkFlapping',
    action: 'linkspan links; linkspan explain link {{ $labels.target_cluster_name }}',
    meaning: "a target's API server has gone away more than three times in half an hour",
  },
  {
    name: 'LinkspanRttHigh',
    severity: 'warning',
    expr: `${RTT} > 3 * ${LEAST} and ${RTT} - ${LEAST} > 0.05`,
    for: '15m',
    summary:
      'A round trip to {{ $labels.gateway }} of {{ $labels.target_cluster_name }} takes {{ $value | humanizeDuration }}',
    reason: 'RoundTripHigh',
    action: 'linkspan gateways -o wide; linkspan stat link/{{ $labels.target_cluster_name }}',
    meaning:
      'for every egress pod a round trip to a gateway address takes three times as long as its shortest, and 50 ms more',
  },
  {
    name: 'LinkspanApiUnreachable',
    severity: 'warning',
    expr: `${max('linkspan_peer_reachable')} == 0`,
    for: '10m',
    summary:
      'The API server of {{ $labels.target_cluster_name }} does not answer, or the Link cannot be used',
    reason: 'Unreachable',
    action: 'linkspan links; linkspan explain link {{ $labels.target_cluster_name }}',
    meaning: "a target's API server does not answer, or its Link cannot be used; mirrors stay as they were",
  },
  {
    name: 'LinkspanLinkStale',
    severity: 'warning',
    expr: `${min('linkspan_peer_last_word_seconds')} > 600`,
    for: '5m',
    summary: 'Nothing was heard of {{ $labels.target_cluster_name }} for {{ $value | humanizeDuration }}',
    reason: 'TargetSilent',
    action: 'linkspan links; linkspan explain link {{ $labels.target_cluster_name }}',
    meaning: 'nothing was heard of a target for ten minutes',
  },
  {
    name: 'LinkspanLinkNotSynced',
    severity: 'warning',
    expr: `${max('linkspan_peer_synced')} == 0`,
    for: '15m',
    summary: 'The first complete list of {{ $labels.target_cluster_name }} has not arrived',
    reason: 'NotSynced',
    action: 'linkspan links; linkspan explain link {{ $labels.target_cluster_name }}',
    meaning: 'the first complete list of a target has not arrived',
  },
  {
    name: 'LinkspanCredentialsExpire',
    severity: 'critical',
    // A token is renewed at two thirds of its life; a long life leaves days for it.
    expr: `${END} - time() < 0.2 * (${END} - ${BEGIN}) and ${END} - time() < 86400`,
    for: '5m',
    summary:
      'The credentials of the Link to {{ $labels.target_cluster_name }} expire in {{ $value | humanizeDuration }}',
    reason: 'CredentialsExpiring',
    action: 'linkspan links; linkspan explain link {{ $labels.target_cluster_name }}',
    meaning: "a fifth of the life of a Link's credentials is left, and less than a day",
  },
  {
    name: 'LinkspanRenewalFails',
    severity: 'warning',
    expr: `${max('increase(linkspan_credentials_renewals_total{result="failed"}[1h])')} > 2`,
    summary:
      'The token of the Link to {{ $labels.target_cluster_name }} could not be renewed three times in an hour',
    reason: 'RenewalFailed',
    action: 'linkspan explain link {{ $labels.target_cluster_name }}',
    meaning: "a Link's token could not be renewed three times in an hour",
  },
  {
    name: 'LinkspanMirrorsWithoutEndpoints',
    severity: 'warning',
    expr: `${verdicts(oneOf('reason', WITHOUT_ENDPOINTS))} > 0`,
    for: '10m',
    summary:
      '{{ $value }} mirrors of {{ $labels.target_cluster_name }} have no endpoints: {{ $labels.reason }}',
    reason: OF_SERIES,
    action: 'linkspan mirrors; linkspan explain reason {{ $labels.reason }}',
    meaning: 'mirrors have no endpoints, by reason; those of a dead gateway are not counted',
  },
  {
    name: 'LinkspanServicesNotMirrored',
    severity: 'warning',
    expr: `${verdicts(oneOf('reason', unmirrored))} > 0`,
    for: '10m',
    summary:
      '{{ $value }} Services of {{ $labels.target_cluster_name }} are not mirrored: {{ $labels.reason }}',
    reason: OF_SERIES,
    action: 'linkspan mirrors; linkspan explain reason {{ $labels.reason }}',
    meaning: 'exported Services have no mirror and should, by reason',
  },
  {
    name: 'LinkspanDropHeld',
    severity: 'warning',
    expr: `${verdicts('reason="DropHeld"', BY_LINK)} > 0`,
    for: '5m',
    summary:
      '{{ $value }} mirrors of {{ $labels.target_cluster_name }} are kept though their exports have vanished',
    reason: 'DropHeld',
    action: 'linkspan links; linkspan explain reason DropHeld',
    meaning: 'too many exports have vanished at once; their mirrors are kept',
  },
  {
    name: 'LinkspanWriteStuck',
    severity: 'warning',
    expr: `${max('linkspan_mirror_lag_seconds')} > 60`,
    for: '5m',
    summary:
      'A write to a mirror of {{ $labels.target_cluster_name }} has been under way for {{ $value | humanizeDuration }}',
    reason: 'WriteStuck',
    action: 'linkspan check; linkspan explain link {{ $labels.target_cluster_name }}',
    meaning: 'a write to a mirror has been under way for more than a minute',
  },
];
