/**
 * Series by which alerts of the chart fire, and by which they do not, minute by minute, as promtool has them.
 */

/** An alert that fires. */
export interface Firing {
  readonly alert: string;
  /** Of the series; those of the rule are known. */
  readonly labels?: Readonly<Record<string, string>>;
  /** What the summary says of the value, where it does. */
  readonly value?: string;
}

/** What is there, and what fires by it. */
export interface AlertCase {
  readonly what: string;
  readonly series: readonly { readonly series: string; readonly values: string }[];
  /** By minute; all others of the chart are quiet then. */
  readonly firing: Readonly<Record<number, readonly Firing[]>>;
  /** Whether nothing else of Linkspan is there either; default false. */
  readonly alone?: boolean;
}

/** Series of a pod of the installation `l`. */
const of = (name: string, labels: string, values: string) => ({
  series: `${name}{namespace="l",pod="a"${labels === '' ? '' : ','}${labels}}`,
  values,
});
const link = (name: string, values: string, labels = '') =>
  of(name, `target_cluster_name="west"${labels}`, values);
const west = { namespace: 'l', target_cluster_name: 'west' };
const pod = { namespace: 'l', pod: 'a' };

/** What is said where telemetry is lost. */
const losing = (telemetry: string) => ({ alert: 'LinkspanTelemetryLost', labels: { ...pod, telemetry } });

/** A gauge of a Link that is wrong from minute 5 on. */
function ofLink(
  alert: string,
  name: string,
  values: string,
  firing: Readonly<Record<number, string | undefined | false>>,
): AlertCase {
  const said = (value: string | undefined) => ({
    alert,
    labels: west,
    ...(value === undefined ? {} : { value }),
  });
  return {
    what: `${alert}, by ${name}`,
    series: [link(name, values)],
    firing: Object.fromEntries(
      Object.entries(firing).map(([minute, value]) => [minute, value === false ? [] : [said(value)]]),
    ),
  };
}

/** Responses of one Service, and what of them fails from minute 30 on. */
const responses = (classification: string, values: string) =>
  of(
    'response_total',
    `component="gateway",dst_namespace="demo",dst_service="web",classification="${classification}"`,
    values,
  );
const burn = (long: string, short: string): Firing => ({
  alert: 'LinkspanErrorBudgetBurn',
  labels: { namespace: 'l', component: 'gateway', dst_namespace: 'demo', dst_service: 'web', long, short },
});
const certificate = (end: string, begin: string) => [
  of('control_identity_cert_expiration_timestamp_seconds', 'component="gateway"', end),
  of('control_identity_cert_refresh_timestamp_seconds', 'component="gateway"', begin),
];
const anchor = (fingerprint: string, within: string, value: string): Firing => ({
  alert: 'LinkspanTrustAnchorExpires',
  labels: { namespace: 'l', fingerprint, within },
  value,
});
const verdicts = (reason: string, values: string) =>
  link('linkspan_mirror_verdicts', values, `,reason="${reason}"`);

const credentials = (cluster: string, issued: string, end: string) => [
  of('linkspan_credentials_issued_timestamp_seconds', `target_cluster_name="${cluster}"`, issued),
  of('linkspan_credentials_expiry_timestamp_seconds', `target_cluster_name="${cluster}"`, end),
];

export const LINK_CASES: readonly AlertCase[] = [
  {
    what: 'a gateway that dies, and one that the Link does not name',
    series: [
      link('gateway_alive', '1x4 0x20'),
      link('gateway_enabled', '1x30'),
      of('gateway_alive', 'target_cluster_name="flat"', '0x30'),
      of('gateway_enabled', 'target_cluster_name="flat"', '0x30'),
    ],
    firing: { 4: [], 5: [], 8: [{ alert: 'LinkspanGatewayDead', labels: west }] },
  },
  ofLink('LinkspanGatewayFlaps', 'gateway_alive', '1x3 0 1 0 1 0 1x40', {
    6: false,
    10: undefined,
    40: false,
  }),
  {
    what: 'an API server that is away once, and one that comes and goes',
    series: [
      link(
        'linkspan_link_transitions_total',
        '0x3 1x60',
        ',condition="APIReachable",status="False",reason="Unreachable"',
      ),
      link(
        'linkspan_link_transitions_total',
        '0+5x60',
        ',condition="Synced",status="False",reason="Mirroring"',
      ),
      of(
        'linkspan_link_transitions_total',
        'target_cluster_name="south",condition="APIReachable",status="False",reason="Unreachable"',
        '0x5 1+1x5 6x60',
      ),
    ],
    firing: {
      5: [],
      12: [{ alert: 'LinkspanLinkFlaps', labels: { ...west, target_cluster_name: 'south' } }],
      50: [],
    },
  },
  ofLink('LinkspanApiUnreachable', 'linkspan_peer_reachable', '1x4 0x20', {
    4: false,
    13: false,
    16: undefined,
  }),
  ofLink('LinkspanLinkStale', 'linkspan_peer_last_word_seconds', '0x4 0+60x30', {
    14: false,
    25: '20m 0s',
  }),
  ofLink('LinkspanLinkNotSynced', 'linkspan_peer_synced', '0x10 1x5 0x20', {
    10: false,
    14: false,
    32: undefined,
  }),
  ofLink('LinkspanWriteStuck', 'linkspan_mirror_lag_seconds', '0x4 0+60x20', { 6: false, 14: '9m 0s' }),
  {
    what: 'credentials of a day, ones of an hour that are renewed once, and ones of a year',
    series: [
      ...credentials('day', '0x100', '86400x100'),
      ...credentials('hour', '0x40 2400x60', '3600x40 6000x60'),
      ...credentials('year', '0x100', '31536000x100'),
    ],
    firing: {
      46: [],
      90: [],
      95: [
        {
          alert: 'LinkspanCredentialsExpire',
          labels: { ...west, target_cluster_name: 'hour' },
          value: '5m 0s',
        },
      ],
    },
  },
  {
    what: 'a renewal that fails once, and one that fails again and again',
    series: [link('linkspan_credentials_renewals_total', '0x4 1x60 1+1x20', ',result="failed"')],
    firing: { 10: [], 40: [], 72: [{ alert: 'LinkspanRenewalFails', labels: west }] },
  },
  {
    what: 'mirrors without endpoints for a moment, and for long',
    series: [
      verdicts('NoReadyEndpoints', '0x2 3x2 0x4 3x30'),
      verdicts('GatewayDead', '4x40'),
      verdicts('Mirrored', '9x40'),
    ],
    firing: {
      9: [],
      15: [],
      25: [
        {
          alert: 'LinkspanMirrorsWithoutEndpoints',
          labels: { ...west, reason: 'NoReadyEndpoints' },
          value: '3',
        },
      ],
    },
  },
  {
    what: 'Services that cannot be mirrored, and ones that are refused on purpose',
    series: [verdicts('NameConflict', '0x2 1x30'), verdicts('ImportNameRefused', '5x40')],
    firing: {
      5: [],
      20: [{ alert: 'LinkspanServicesNotMirrored', labels: { ...west, reason: 'NameConflict' }, value: '1' }],
    },
  },
  {
    what: 'mirrors that are kept',
    series: [verdicts('DropHeld', '0x2 7x30')],
    firing: { 5: [], 10: [{ alert: 'LinkspanDropHeld', labels: west, value: '7' }] },
  },
  {
    what: 'a way that is long, one that gets long for one pod, and one that gets long for all',
    series: [
      link('linkspan_gateway_rtt_seconds', '0.3x60', ',gateway="far"'),
      link('linkspan_gateway_rtt_least_seconds', '0.28x60', ',gateway="far"'),
      link('linkspan_gateway_rtt_seconds', '0.01x5 0.5x60', ',gateway="near"'),
      link('linkspan_gateway_rtt_least_seconds', '0.01x60', ',gateway="near"'),
      {
        series:
          'linkspan_gateway_rtt_seconds{namespace="l",pod="b",target_cluster_name="west",gateway="near"}',
        values: '0.01x10 0.4x60',
      },
    ],
    firing: {
      10: [],
      25: [],
      30: [{ alert: 'LinkspanRttHigh', labels: { ...west, gateway: 'near' }, value: '400ms' }],
    },
  },
];

export const PROCESS_CASES: readonly AlertCase[] = [
  {
    what: 'a Service of which one response in twenty fails',
    series: [responses('success', '0+600x120'), responses('failure', '0x30 0+30x90')],
    firing: { 29: [], 60: [burn('1h', '5m'), burn('6h', '30m')], 66: [burn('1h', '5m'), burn('6h', '30m')] },
  },
  {
    what: 'a Service of which one response in 200 fails, for days',
    series: [responses('success', '0+1990x300'), responses('failure', '0+10x300')],
    firing: { 30: [], 110: [burn('1d', '2h')], 300: [burn('1d', '2h'), burn('3d', '6h')] },
  },
  {
    what: 'a certificate of 100 minutes that is not renewed',
    series: certificate('6000x100', '0x100'),
    firing: {
      40: [],
      80: [],
      90: [{ alert: 'LinkspanCertificateExpires', labels: pod, value: '10m 0s' }],
    },
  },
  {
    what: 'a gateway without certificate',
    series: certificate('0x10 86400x10', '0x10 600x10'),
    firing: { 3: [], 8: [{ alert: 'LinkspanNoCertificate', labels: pod }], 15: [] },
  },
  {
    what: 'an anchor that is good for 60 days and an hour, and one that is for seven days and two',
    series: [
      of('linkspan_trust_anchor_expiration_timestamp_seconds', 'fingerprint="a1"', '5187600x200'),
      of('linkspan_trust_anchor_expiration_timestamp_seconds', 'fingerprint="b2"', '612000x200'),
    ],
    firing: {
      50: [],
      130: [anchor('a1', '60d', '59d 22h 50m 0s'), anchor('b2', '60d', '6d 23h 50m 0s')],
      190: [
        anchor('a1', '60d', '59d 21h 50m 0s'),
        anchor('b2', '60d', '6d 22h 50m 0s'),
        anchor('b2', '7d', '6d 22h 50m 0s'),
      ],
    },
  },
  {
    what: 'an issuer that is good for 30 days and an hour',
    series: [of('linkspan_issuer_expiration_timestamp_seconds', '', '2595600x140')],
    firing: {
      60: [],
      130: [{ alert: 'LinkspanIssuerExpires', labels: { namespace: 'l' }, value: '29d 22h 50m 0s' }],
    },
  },
  {
    what: 'a signer without issuer',
    series: [of('linkspan_issuer_expiration_timestamp_seconds', '', '8640000x5 0x30')],
    firing: { 4: [], 12: [], 25: [{ alert: 'LinkspanNoIssuer', labels: { namespace: 'l' } }] },
  },
  {
    what: 'a worker that is missing',
    series: [
      of('linkspan_gateway_workers', 'state="wanted"', '4x30'),
      of('linkspan_gateway_workers', 'state="ready"', '4x5 3x30'),
    ],
    firing: { 5: [], 8: [], 15: [{ alert: 'LinkspanWorkersMissing', labels: pod, value: '3' }] },
  },
  {
    what: 'a worker that ends once, and ones that end again and again',
    series: [of('linkspan_gateway_worker_restarts_total', '', '0x3 1x20 1+1x10 11x30')],
    firing: { 10: [], 34: [{ alert: 'LinkspanWorkersCrash', labels: pod }], 60: [] },
  },
  {
    what: 'clients that are refused, for long',
    series: [
      of('inbound_tcp_errors_total', 'error="tls"', '0x5 0+120x40'),
      of('inbound_tcp_errors_total', 'error="header timeout"', '0+600x60'),
    ],
    firing: {
      15: [],
      40: [{ alert: 'LinkspanClientsRefused', labels: { ...pod, error: 'tls' }, value: '2' }],
    },
  },
  {
    what: 'lines of the access log that are lost',
    series: [of('linkspan_access_log_dropped_total', '', '0x5 1+1x40 41x60')],
    firing: { 10: [], 40: [losing('lines of its access log')], 70: [] },
  },
  {
    what: 'events that nobody takes from taps, and those that a rate leaves out',
    series: [
      of('linkspan_tap_events_total', 'result="dropped"', '0x5 1+10x40 401x60'),
      of('linkspan_tap_events_total', 'result="limited"', '0+600x110'),
      of('linkspan_tap_events_total', 'result="hidden"', '0+600x110'),
    ],
    firing: { 10: [], 40: [losing('events of taps')], 70: [], 100: [] },
  },
  {
    what: 'spans that no collector takes, and those above the limit of a second',
    series: [
      of('linkspan_spans_total', 'result="failed"', '0x5 512+512x20 10752x80'),
      of('linkspan_spans_total', 'result="queue_full"', '0x25 1+100x20 2001x60'),
      of('linkspan_spans_total', 'result="capped"', '0+6000x110'),
      of('linkspan_spans_total', 'result="exported"', '0+6000x110'),
    ],
    firing: { 10: [], 24: [losing('spans')], 44: [losing('spans')], 80: [], 100: [] },
  },
  {
    what: 'nothing of Linkspan',
    series: [{ series: 'up{job="other"}', values: '1x30' }],
    firing: { 5: [], 15: [{ alert: 'LinkspanNotScraped' }] },
    alone: true,
  },
  {
    what: 'an egress whose pods cannot be scraped, and one that is left of two',
    series: [
      { series: 'up{job="l/linkspan",namespace="l",component="egress",pod="a"}', values: '1x5 0x30' },
      { series: 'up{job="l/linkspan",namespace="l",component="gateway",pod="a"}', values: '0x30' },
      { series: 'up{job="l/linkspan",namespace="l",component="gateway",pod="b"}', values: '1x30' },
      { series: 'up{job="other",namespace="l",component="controller",pod="c"}', values: '0x30' },
    ],
    firing: { 5: [], 20: [{ alert: 'LinkspanNotScraped', labels: { namespace: 'l', component: 'egress' } }] },
  },
];

/** A Service of one controller. */
const service = (name: string, labels: string, values: string) =>
  of(name, `service="shop/web"${labels}`, values);
const web = { namespace: 'l', service: 'shop/web' };

export const FAILOVER_CASES: readonly AlertCase[] = [
  {
    what: 'a failover that lasts, whose reason changes meanwhile',
    series: [
      service('linkspan_failover_active', ',reason="PrimaryServing"', '0x2 _x30'),
      service('linkspan_failover_active', ',reason="PathDead"', '_x2 1x5 _x30'),
      service('linkspan_failover_active', ',reason="FailBackHeld"', '_x8 1x20'),
    ],
    firing: {
      2: [],
      11: [],
      14: [{ alert: 'LinkspanFailoverActive', labels: web }],
      20: [{ alert: 'LinkspanFailoverActive', labels: web }],
      40: [],
    },
  },
  {
    what: 'a drain and a drill',
    series: [
      service('linkspan_failover_active', ',reason="Drained"', '1x60'),
      service('linkspan_failover_active', ',reason="DrillActive"', '1x60'),
    ],
    firing: { 30: [], 60: [] },
  },
  {
    what: 'a shortage that lasts, and one that does not',
    series: [service('linkspan_failover_capacity_short', '', '1x2 0x5 1x10')],
    firing: { 4: [], 9: [], 14: [{ alert: 'LinkspanCapacityShort', labels: web }] },
  },
  {
    what: 'a backend that was withdrawn once, twice, and once more',
    series: [service('linkspan_failover_flaps', ',backend="west"', '0x2 1x2 2x2 3x2 0x5')],
    firing: {
      4: [],
      7: [],
      9: [{ alert: 'LinkspanFailoverFlapping', labels: { ...web, backend: 'west' } }],
      13: [],
    },
  },
  {
    what: 'an egress pod that hears nothing, and one that asks each 30 s',
    series: [
      of('linkspan_failover_facts_age_seconds', '', '0+60x20'),
      { series: 'linkspan_failover_facts_age_seconds{namespace="l",pod="b"}', values: '30x20' },
    ],
    firing: { 1: [], 3: [{ alert: 'LinkspanFailoverFactsStale', labels: pod }] },
  },
  {
    what: 'all gateways at once, for one look and for good',
    series: [of('linkspan_own_network_suspected', '', '1 0 0 1 1 1 1')],
    firing: { 1: [], 5: [{ alert: 'LinkspanOwnNetworkSuspected', labels: { namespace: 'l' } }] },
  },
];
