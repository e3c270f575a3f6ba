/** The conditions of a Link, in the order in which they are shown. */
export const LINK_CONDITIONS = ['CredentialsValid', 'APIReachable', 'GatewayAlive', 'Synced'] as const;
export type LinkConditionType = (typeof LINK_CONDITIONS)[number];

/** Reasons of the Link conditions; the words are API (docs/reference/reasons.md). */
export const linkReasons = {
  Accepted: 'The credentials Secret exists and holds a usable kubeconfig.',
  InvalidLink: 'A field of the Link is wrong; the message names it.',
  DuplicateCluster: 'An older Link already names this target cluster; that one is used.',
  SecretNotFound: 'The Secret that the Link names does not exist in its namespace.',
  InvalidCredentials: 'The Secret holds no usable kubeconfig; the message says why.',
  CredentialsExpiring:
    'The token or client certificate expires soon and nothing renews it; the message has the date. Run `linkspan link` again before.',
  CredentialsExpired:
    'The token or client certificate has expired; the message has the date. Run `linkspan link` again.',
  RenewalFailed:
    'The token is still valid, but could not be renewed; it is tried again until it expires. The message has the date and the error.',
  CredentialsRejected:
    'The API server of the target cluster does not accept the token: its account was deleted or made anew, or the cluster was rebuilt. Run `linkspan link` again.',
  Connected: 'The API server of the target cluster answers.',
  Unreachable: 'The API server of the target cluster does not answer; the last known mirrors are kept.',
  Forbidden: 'The API server of the target cluster refuses the credentials or their rights.',
  Waiting: 'Nothing is known yet.',
  AllMirrored: 'Every exported Service has its mirror.',
  ImportsRefused:
    'Every exported Service that the import policy of the Link takes has its mirror; the message counts those that it refuses, by reason.',
  Mirroring: 'Mirrors are being made or changed.',
  SomeNotMirrored: 'Some exported Services cannot be mirrored; the message counts them by reason.',
  DropHeld: 'Many mirrors would go at once; they are kept until a second list confirms it.',
  ClusterReplaced:
    'The target is not the cluster it was (another UID). Its missing exports keep their mirrors until they are back, or until the annotation `linkspan.dev/accept-cluster` of the Link names the new UID; the message has the command.',
  OverBudgetMemory:
    'The objects of the target would take more memory than one Link may: the Link is parked. Its mirrors stay as they are and it is tried again; the message has the numbers.',
  OverBudgetObjects: 'The target has more objects than one Link may; parked, as above.',
  OverBudgetServices: 'The target exports more Services than one Link may; parked, as above.',
  OverBudgetPorts: 'The exported Services have more ports than one Link may; parked, as above.',
  OverBudgetMetadata:
    'The exported Services have more bytes of labels and annotations than one Link may; parked, as above.',
  OverBudgetNamespaces: 'The exported Services are in more namespaces than one Link may; parked, as above.',
  OverBudgetWatches:
    'Too many exported Services, or gateways that exports name, need a watch of their own. Those beyond the limit are left as they are; the others go on.',
  OverBudgetAnswer:
    'An answer of the API server of the target is too large or takes too long; parked, as above.',
  OverBudgetPages: 'A list of the target has no end; parked, as above.',
  OverBudgetTotal:
    'All Links together hold as much as the controller has memory for, and this one more than the part that each may have in any case; parked, as above, while the others go on.',
  ProbesAnswered: 'The gateway answers its probes.',
  ProbesFailed:
    'No address of the gateway answers its probes; mirrors through it have no endpoints. The message has each address.',
  OwnNetworkSuspected:
    'The gateways of all clusters, two at least, have died in one moment: the network of this cluster is suspected, or that of the controller. Endpoints that nobody else could stand in for stay. The message has each address.',
  EgressCannotReach:
    'The gateway answers its probes, and at least half of the egress pods that have tried (two at least, where there are more) cannot reach it: mirrors through it have no endpoints. The message has each address.',
  NotProbed: 'The Link has no probe; every address of its gateway counts as alive.',
  NoGateway: 'The Link names no gateway: only flat mirrors are possible.',
  GatewayUnresolved: 'No address of the gateway is known: its host names cannot be resolved.',
  ImportAddressRefused:
    "The gateway's names resolve only to addresses that no other cluster can have, or to this cluster's own; the message has each.",
  CleaningUp: 'The Link is gone or names another cluster; what it made is being removed.',
} as const;
export type LinkReason = keyof typeof linkReasons;

/** A Kubernetes condition (metav1.Condition). */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  /** RFC 3339. */
  readonly lastTransitionTime: string;
  readonly observedGeneration?: number;
}

/** A condition as it is wanted, before its transition time is known. */
export type WantedCondition = Omit<Condition, 'lastTransitionTime'>;

/** A reference as Linkerd's status holds it; group `core` and kind `Service` unless said. */
export interface ServiceRef {
  readonly group?: string;
  readonly kind?: string;
  readonly name: string;
  readonly namespace: string;
}

/** Linkerd's state of one mirror or federated membership: one condition of type `Mirrored`. */
export interface ServiceStatus {
  /** Linkerd writes `linkerd.io/service-mirror`. */
  readonly controllerName: string;
  readonly remoteRef: ServiceRef;
  readonly conditions?: readonly (Condition & { readonly localRef?: ServiceRef })[];
}

/** `status` of a Link: Linkerd's lists, and our conditions and counts. */
export interface LinkStatus {
  readonly conditions?: readonly Condition[];
  /** Mirrors that exist for this Link. */
  readonly mirrorCount?: number;
  /**
   * UID of the target's `default/kubernetes` Service: by it a cluster that was rebuilt is told from one that
   * lost its exports.
   */
  readonly targetClusterUID?: string;
  /**
   * The drain that the target's gateway asks for (`linkspan drain gateway` there), as the text of the
   * annotation `linkspan.dev/drain`; empty: it asks for none any more.
   */
  readonly gatewayDrain?: string;
  readonly mirrorServices?: readonly ServiceStatus[];
  readonly federatedServices?: readonly ServiceStatus[];
}

/**
 * The conditions to write: those that are wanted, each with the time of its last change of status, and those
 * of other types that are there already.
 * @param now milliseconds since the epoch
 */
export function nextConditions(
  previous: readonly Condition[] | undefined,
  wanted: readonly WantedCondition[],
  now: number,
): Condition[] {
  const before = new Map((previous ?? []).map((condition) => [condition.type, condition]));
  const next = wanted.map((condition) => {
    const old = before.get(condition.type);
    before.delete(condition.type);
    const unchanged = old?.status === condition.status;
    // Kubernetes' time has whole seconds.
    const stamp = new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');
    return { ...condition, lastTransitionTime: unchanged ? old.lastTransitionTime : stamp };
  });
  return [...before.values(), ...next];
}
