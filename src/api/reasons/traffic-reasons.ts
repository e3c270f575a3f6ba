/**
 * What `linkspan stat` and its like find wrong with traffic or a process, beside the reasons of mirrors and
 * Links and the kinds of failures. The words are API, as those are.
 */
export const trafficReasons = {
  ServerErrors:
    'More requests fail than the objective of the Service allows, mostly because its endpoints answer with 5xx, or with a gRPC status that is a failure.',
  LatencyAboveObjective: 'Answers take longer than the objective of the Service allows.',
  ProcessSilent: 'The pod did not answer when it was asked for its numbers.',
  ProcessNotReady: 'The pod is not ready.',
  CertificateExpiring: 'The certificate of the process, or a trust anchor, ends soon or has ended.',
  SyncStale: 'The process does not hear from the API server; it goes on with what it knows.',
  VersionSkew: 'The process is of another version than others of its cluster.',
} as const;

export type TrafficReason = keyof typeof trafficReasons;
