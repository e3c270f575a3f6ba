/**
 * Why an alert of the chart fires, where no condition, mirror or backend has a word for it. The names are
 * API: alerts have them as the annotation `reason`.
 */
export const alertReasons = {
  ErrorBudgetBurning:
    'So many responses for the Service are failures that its error budget is used up before its time.',
  GatewayFlapping: 'The gateway of a Link has come and gone several times within a quarter of an hour.',
  LinkFlapping: "The target's API server has come and gone several times within half an hour.",
  TargetSilent:
    "Nothing has been heard of the target's API server for long: its mirrors are as they were then.",
  RoundTripHigh: 'A round trip to a gateway address takes several times as long as the way itself does.',
  NoCertificate: 'A gateway or egress has no certificate: it is not ready, and nothing passes through it.',
  TrustAnchorExpiring:
    'A trust anchor expires soon: every connection that it vouches for ends with it, between all clusters that have it.',
  IssuerExpiring: "The issuer's certificate expires soon; nothing can be signed after.",
  NoIssuer: 'The signer has no good issuer: certificates are not renewed.',
  WorkersMissing: 'A gateway has fewer worker processes than it should.',
  WorkersCrashing: 'Worker processes of a gateway end and are replaced again and again.',
  WriteStuck: 'A write to a mirror has been under way for more than a minute.',
  ClientsRefused: 'A gateway refuses connections for want of a valid certificate or of a right.',
  FactsStale: "An egress pod has not heard this cluster's API server for a minute.",
  TelemetryLost:
    'Lines of the access log, events of taps or spans were left out, because nobody took them fast enough.',
  NotScraped: 'Prometheus has no metrics of Linkspan, so that no other alert can fire.',
} as const;

export type AlertReason = keyof typeof alertReasons;
