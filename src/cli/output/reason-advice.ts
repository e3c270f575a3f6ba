import type { LinkReason } from '../../api/link/link-status.ts';
import {
  IMPORT_ANNOTATIONS,
  IMPORT_GATEWAYS,
  IMPORT_GATEWAY_CIDRS,
  IMPORT_LABELS,
  IMPORT_NAMES,
  IMPORT_NAMESPACES,
  IMPORT_POD_CIDRS,
  IMPORT_QUOTAS,
} from '../../api/names.ts';
import {
  FAILOVER_CONTROLLED_BY,
  FAILOVER_DRAIN,
  FAILOVER_DRAIN_GROUP,
} from '../../api/failover/failover-names.ts';
import type { DrainEvent, FailoverReason, failoverEvents } from '../../api/failover/failover-reasons.ts';
import type { AlertReason } from '../../api/reasons/alert-reasons.ts';
import type { EventReason, MirrorReason } from '../../api/reasons/mirror-reasons.ts';
import type { ProbeReason } from '../../api/reasons/probe-outcome.ts';
import type { TrafficReason } from '../../api/reasons/traffic-reasons.ts';

/** Every word that a condition, an Event, a log line or a metric gives as its reason. */
export type AnyReason =
  | MirrorReason
  | EventReason
  | ProbeReason
  | LinkReason
  | FailoverReason
  | keyof typeof failoverEvents
  | DrainEvent
  | TrafficReason
  | AlertReason;

const NOTHING = 'Nothing: this is as it should be.';
const WAIT = 'Wait; it comes right by itself.';
const PARKED =
  'Find out whether the target is meant to have so many. If so, raise the limit that the message names (chart value `controller.budgets`) and the memory of the controller; if not, export less, or remove the Link.';
const LINK_AGAIN =
  'Run `linkspan link` (or apply what `linkspan link-gen` prints) again: it makes new credentials.';

/** What to do about each reason, for `linkspan explain reason` and `docs/reference/reasons.md`. */
export const reasonAdvice: Readonly<Record<AnyReason, string>> = {
  // mirrors
  Mirrored: NOTHING,
  NoReadyEndpoints: 'Look at the pods of the Service in the target cluster: none is ready.',
  AddressFamilyMismatch:
    'Give the gateway an address of the family that the message names (`spec.gatewayAddress` of the Link, or its load balancer), or, where this cluster has both, make the mirror dual-stack: `kubectl patch svc MIRROR -p \'{"spec":{"ipFamilyPolicy":"PreferDualStack"}}\'`, which stays.',
  GatewayDead: 'See `linkspan gateways -o wide` for what each address answers.',
  GatewayUnknown: WAIT,
  GatewayUnresolved:
    'Check the DNS name in the Link, or whether the gateway Service in the target has got its address (`kubectl get svc linkerd-gateway`).',
  NoGateway:
    'Export the Service for flat mirroring (`linkspan export --mode flat`), or link again with a gateway.',
  ClusterLost:
    'Find out what has become of the cluster, or of the way to it; `linkspan gateways` and `linkspan links` say what is tried. The member comes back by itself.',
  NoEgress:
    'Look at the pods of linkspan-egress: their `/ready` says what they wait for, mostly a certificate.',
  EgressPortsExhausted:
    'Export fewer ports to this cluster, or let clients with a Linkerd sidecar use the gateway directly (data path `gateway`), which takes none.',
  EgressPortsUnrecorded:
    'Wait a moment. If it stays: the log of the controller says why it cannot write the ConfigMaps of the record, mostly a right that is missing.',
  MissingNamespace:
    'Make the namespace in the source cluster, or let the controller make it (chart value `enableNamespaceCreation`).',
  InvalidService: 'Change the exported Service as the message says, or stop exporting it.',
  NameTooLong: 'Give the cluster a shorter name (a new Link), or the Service.',
  NameInvalid:
    'Give the Service in the target a name that begins with a letter, or upgrade the source cluster to a Kubernetes that takes it.',
  NameConflict:
    'Rename or delete the Service that has the name; Linkspan never touches what it does not own.',
  BeingDeleted:
    'Find out who put the finalizer on the mirror that the message names, and why it is not taken off; Linkspan sets none.',
  NotExported:
    'Run `linkspan export SVC` in the target cluster, and compare its labels with the selectors of the Link.',
  NotSynced: 'See the condition APIReachable of the Link (`linkspan links`).',
  Pending: 'Ask again in a moment; if it stays so, see `linkspan check` and the log of the controller.',
  OverBudgetService:
    'Take off it what nobody needs, or raise `--max-service-metadata` of the controller (chart value `controller.budgets`).',
  DropHeld:
    'Find out why so many exports vanished at once. If it was meant, wait: a second list from the target confirms it.',
  ImportNamespaceRefused: `Nothing, if nothing should be mirrored there. Else name the namespace in the annotation \`${IMPORT_NAMESPACES}\` of the Link.`,
  ImportNameRefused: `Nothing, if it should not be taken. Else add it to the annotation \`${IMPORT_NAMES}\` of the Link.`,
  ImportQuotaExceeded: `Find out whether the target means to export so much; then raise the quota in the annotation \`${IMPORT_QUOTAS}\` of the Link.`,
  ImportAddressRefused: `See in the message which addresses, and why. Pods' ranges: \`${IMPORT_POD_CIDRS}\` of the Link, and the controller's \`--own-…-cidrs\`; gateways: \`${IMPORT_GATEWAY_CIDRS}\`.`,
  GatewayNotAllowed: `If the gateway is one that you trust, add it to the annotation \`${IMPORT_GATEWAYS}\` of the Link; \`linkspan link\` writes those that the target has then, where the Link has no list yet.`,
  ImportHeld:
    'If the policy of the Link was changed by mistake, put it right within half a minute; else wait.',
  ImportMetadataLeftOut: `Nothing, unless they should steer this cluster's machinery: then list them in \`${IMPORT_LABELS}\` or \`${IMPORT_ANNOTATIONS}\` of the Link.`,
  Error:
    'Read the message: mostly rights that are missing, or a webhook that refuses. `linkspan check` tells them apart.',
  // events
  AnnotationExport: 'Put the label that the message names on the Service.',
  PortsLeftOut: 'Nothing, unless a client needs these ports: only TCP crosses clusters.',
  DropConfirmed: 'Nothing: what was held back has been removed.',
  ClusterReplaced:
    'If the target was rebuilt on purpose, run the command in the message, which accepts it. If not, check whose API server the credentials lead to.',
  OverBudget: 'See the condition Synced of the Link (`linkspan links`): its reason says which budget it is.',
  // probes
  ProbeRefused:
    'Check that the gateway runs, and that firewalls and network policies let the source reach the address and port.',
  ProbeTimeout: 'Check routes and firewalls between the clusters: the packets are probably dropped.',
  ProbeStatus:
    'Look at the log of the gateway, and whether the port of the probe is really that of the gateway.',
  ProbeBroken:
    'Look at the log of the gateway, and at what stands between the clusters (load balancer, mesh, proxy).',
  ProbeIdentity:
    'Compare the trust anchors of both clusters and the identity in the Link (`linkspan check`, `linkspan identity show`).',
  ProbeNeedsIdentity:
    'Give the controller an identity (chart value `identity.source`), or the Link a probe port that asks for none.',
  // links
  Accepted: NOTHING,
  InvalidLink: 'Correct the field that the message names.',
  DuplicateCluster: 'Delete one of the two Links.',
  SecretNotFound: LINK_AGAIN,
  InvalidCredentials: LINK_AGAIN,
  CredentialsExpiring: LINK_AGAIN,
  CredentialsExpired: LINK_AGAIN,
  RenewalFailed:
    'Read the error in the message: the account in the target must be allowed to create tokens for itself (`linkspan allow --token-ttl`).',
  CredentialsRejected: LINK_AGAIN,
  Connected: NOTHING,
  Unreachable:
    'Check that pods of the source can reach the address in the credentials; `linkspan link --api-server-address` gives another one.',
  Forbidden: 'Give the account its rights in the target again: `linkspan allow`, or upgrade the chart there.',
  Waiting: WAIT,
  AllMirrored: NOTHING,
  ImportsRefused: 'Nothing, if that is meant. `linkspan check` and `linkspan mirrors` say which, and why.',
  Mirroring: WAIT,
  SomeNotMirrored: 'See `linkspan mirrors` for which, and `linkspan explain svc NAME` for why.',
  OverBudgetMemory: PARKED,
  OverBudgetObjects: PARKED,
  OverBudgetServices: PARKED,
  OverBudgetPorts: PARKED,
  OverBudgetMetadata: PARKED,
  OverBudgetNamespaces: PARKED,
  OverBudgetWatches: PARKED,
  OverBudgetAnswer:
    'Find out what answers there. Where the line is slow or objects are very large, raise `--max-answer-time` or `--max-answer-size` (chart value `controller.budgets`).',
  OverBudgetPages:
    'Find out what answers there: no API server needs so many pages. Where it is in order, raise `--max-list-pages` (chart value `controller.budgets`).',
  OverBudgetTotal:
    'Give the controller more memory, which raises the limit (`controller.resources`, `--max-total-memory`), or find out with `linkspan_peer_budget_used` which target takes it, and lower `--max-peer-memory`.',
  ProbesAnswered: NOTHING,
  ProbesFailed:
    'See `linkspan gateways -o wide`, and `linkspan explain reason` with the reason of each address.',
  OwnNetworkSuspected:
    'Look at the way out of this cluster first (uplink, NAT, firewall, DNS), and at the node of the controller: do the egress pods still reach gateways (`linkspan check`)? It ends with the first gateway that answers.',
  EgressCannotReach:
    'Probes go to another port, from another node: see what stands between the egress pods and the port of the gateway (NetworkPolicies, firewalls, the load balancer), and whether both sides trust each other: `linkspan check` has each egress pod try, `GET /trunks` of an egress pod says what it has found.',
  NotProbed: 'Nothing, unless dead gateways should be noticed: then link again with a probe path and port.',
  CleaningUp: WAIT,
  // failover
  PrimaryServing: NOTHING,
  SpillLowCapacity:
    'Find out why the first tier has fewer ready endpoints than it had (`linkspan failover` shows both); requests come back by themselves.',
  PathDead: 'See `linkspan gateways -o wide` for what each address of the gateway answers.',
  BelowMinHealthy:
    'Look at the pods of the Service in that cluster: too few are ready. `min-healthy` of the policy says how many it takes.',
  FailBackHeld:
    'Wait: it gets requests again when its hold is over. `delay` of the policy says how long that is.',
  FailBackRamp: WAIT,
  Drained: `Nothing, if it is meant; the annotation \`${FAILOVER_DRAIN}\` of the Link, or \`${FAILOVER_DRAIN_GROUP}/<cluster>\` of the Service, says until when.`,
  DrillActive: 'Wait: a drill ends by itself.',
  FactsUnknown: WAIT,
  NoHealthyBackend: 'Look at the pods and the gateway of each cluster: none has enough ready endpoints.',
  CapacityShort:
    'Start more pods where requests go now, or expect that requests fail or slow down. If the Service is meant to be smaller now, wait: what is expected comes down with `capacity-window`.',
  DemandUnmet: 'Start more pods where requests go now: requests fail, or wait, for want of them.',
  DemandMet:
    'Nothing, if fewer are wanted now: what is expected comes down with `capacity-window`. Else start more pods before more is asked.',
  CapacitySuffices: NOTHING,
  AnnotationInvalid: 'Put the key right that the message names; until then what held before holds on.',
  OtherController: `Stop whoever else writes the weights, or take the label \`${FAILOVER_CONTROLLED_BY}\` off.`,
  ApexHasSelector: 'Let clients use the name that the message says.',
  ApexHasEndpoints:
    'Delete the EndpointSlices or Endpoints that somebody has made for it, or what was written about where its requests go.',
  ApexUnsuitable: 'Make a Service of type ClusterIP without selector, with a TCP port.',
  TooManyApexes: 'Delete Services without selector whose routes, splits or tiers nobody needs any more.',
  TierUnknownMember:
    'Compare the names in the tiers with the members of the Service (`linkspan failover`); clusters are called as Links call them, this one `local`.',
  Failover: 'See `linkspan failover` for who serves now; nothing has to be done for requests to come back.',
  FailBack: NOTHING,
  FlapDamped: 'Find out why the cluster comes and goes: its gateway, its pods, or the way there.',
  DrainStarted: 'Nothing, if it is meant; else `linkspan undrain` ends it.',
  DrainPaused:
    'See what fails, then go on with the same `linkspan drain`, or give it back with `linkspan undrain`.',
  DrainDone: NOTHING,
  DrillReport:
    'If it is not PASSED: the report that `linkspan drill` printed says what clients have noticed.',
  // traffic
  ServerErrors: 'Look at the pods of the Service in its cluster, and at their logs: they answer, and fail.',
  LatencyAboveObjective:
    'See where the time goes: `linkspan stat mirror -o wide` with both clusters says endpoint, network, gateway or egress.',
  ProcessSilent: 'Look at the pod and its log. What it alone has counted is missing until it answers.',
  ProcessNotReady: "Ask the pod's `/ready` what it waits for (`linkspan check` does).",
  CertificateExpiring:
    'Look at the log of the pod, and at `linkspan check`: certificates are renewed long before they end; trust anchors a person renews.',
  SyncStale: 'See whether the API server answers the pod: its log, and NetworkPolicies.',
  VersionSkew: 'Nothing in the middle of an upgrade; else finish it.',
  // alerts
  ErrorBudgetBurning:
    'See at which end the responses fail (the alert names the process: `gateway` or `egress`) and with which status; `linkspan explain svc NAME` says what is known of the Service.',
  GatewayFlapping:
    'See `linkspan gateways -o wide` for what each address answers; look at the pods of the gateway, and at the line between the clusters.',
  LinkFlapping:
    'Look at the API server of the target, and at the line to it; `linkspan links` has the error.',
  TargetSilent:
    'Check that pods of the source can reach the address in the credentials; `linkspan links` says since when nothing was heard.',
  RoundTripHigh:
    'Look at the line between the clusters, and whether the egress or the gateway has too little CPU: what either takes to read is part of it.',
  NoCertificate:
    'Read the log of the pod for what it waits for; `linkspan check` looks at the signer, the issuer and the Secrets of identities.',
  TrustAnchorExpiring:
    'Bring a new anchor into every cluster beside the old one, sign issuers under it, and take the old one away last (docs/reference/gateway.md has the steps).',
  IssuerExpiring:
    'Sign a new issuer under the same anchor and put it into the Secret of the issuer (`linkspan identity`; docs/reference/gateway.md has the steps).',
  NoIssuer:
    'Look at the Secret of the issuer (chart value `identity.issuer.secretName`); the log of the signer says what is wrong with it.',
  WorkersMissing: 'Read the log of the gateway pod; give it more CPU or memory where workers do not start.',
  WorkersCrashing:
    'Read the log of the gateway pod: out of memory (raise `gateway.resources.limits.memory`), or a mistake of ours that is worth a report.',
  WriteStuck:
    "See whether this cluster's API server answers, or a webhook holds writes to Services or EndpointSlices; the log of the controller names the mirror.",
  ClientsRefused:
    'The label `error` says why. See in the log of the gateway who they are; compare the trust anchors of both clusters (`linkspan check`) and what its policy allows.',
  FactsStale: "See whether the egress pod reaches this cluster's API server: `linkspan check`.",
  TelemetryLost:
    'Lines: see what reads the logs of the pod, or choose fewer (chart value `gateway.accessLog`). Spans: see whether the collector takes them (the log of the pod says why not, `linkspan_spans_total` how many), or record fewer (`tracing.sample`). Taps: their reader is slow; filter, or pipe into a file.',
  NotScraped:
    "Let Prometheus scrape the pods' ports `linkspan-admin` (chart value `podMonitor.enabled`, docs/guides/monitoring.md), and let it in where NetworkPolicies are on (`networkPolicy.adminClients`).",
};
