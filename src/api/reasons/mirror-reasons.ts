/**
 * Why a mirror or a federated membership is as it is. These words are API: the same one stands in conditions,
 * Events, log fields, metric labels, `linkspan explain` and `docs/reference/reasons.md` (a test compares).
 * `Mirrored`, `InvalidService`, `Error` and `MissingNamespace` are Linkerd's.
 */
export const mirrorReasons = {
  Mirrored: 'The mirror Service and its endpoints are as they should be.',
  NoReadyEndpoints: 'The Service in the target cluster has no ready endpoints, so the mirror has none.',
  AddressFamilyMismatch:
    'The mirror has a ClusterIP of one address family (IPv4, IPv6) and endpoints of the other only, so that kube-proxy sends nothing to them; clients with a Linkerd proxy dial them directly.',
  GatewayDead:
    'No address of the gateway answers its probes; the mirror keeps its addresses, not ready, so that nothing is sent to them.',
  GatewayUnknown:
    'No address of the gateway has answered its first probe yet; the mirror is left as it is until then.',
  GatewayUnresolved:
    'No address of the gateway is known: its host name cannot be resolved, or its Service has none. A mirror that is there is left as it is, a new one has no endpoints.',
  NoGateway:
    'The Link names no gateway, so nothing can be mirrored through it; a mirror that was there is removed.',
  NoEgress: 'No egress pod is ready, so the relay mirror has no endpoints.',
  EgressPortsExhausted:
    'Every port that egress pods have for relay mirrors is taken; the mirror waits for one, as it is.',
  EgressPortsUnrecorded:
    'The egress ports of the mirror are being written to the record (ConfigMaps `linkspan-egress-routes-…`); the mirror is left as it is until they stand there, a moment later.',
  MissingNamespace:
    'The namespace does not exist in the source cluster; the mirror is made as soon as it does.',
  InvalidService:
    'The exported Service cannot be mirrored (no TCP port, of type ExternalName, or headless where that cannot be); the message says which. A mirror that was there is removed.',
  NameTooLong: 'The name of the mirror would be longer than 63 characters, so it is not made.',
  NameInvalid:
    "The source cluster's API server does not take the name of the mirror (a newer target may allow names that it does not); it is not tried again until the export changes.",
  NameConflict: 'A Service that Linkspan does not own has the name of the mirror; it is left alone.',
  BeingDeleted:
    'The mirror Service is being deleted and a finalizer holds it, which the message names; it is made anew as soon as it is gone.',
  NotExported: 'The Service is not, or no longer, exported by the target cluster.',
  NotSynced:
    'The first complete list from the target cluster, of its exports or their endpoints, has not arrived; nothing is changed until then.',
  Pending: 'The export is known, and has not been looked at yet; that takes a moment.',
  OverBudgetService:
    'The Service alone is more than one may be (labels and annotations, or ports; the message has the numbers); its mirror is left as it is.',
  DropHeld:
    'Removing this mirror, or its last endpoints, is held back: too many would go at once, a second list must confirm it.',
  ImportNamespaceRefused:
    'The import policy of the Link takes nothing into this namespace: it is protected, or not in the list; a mirror that was there is removed.',
  ImportNameRefused:
    'The import policy of the Link does not take a Service of this name; a mirror that was there is removed.',
  ImportQuotaExceeded:
    'The quota of the Link has no room for it; the message says which. A mirror that has room keeps it, one that has none is removed.',
  ImportAddressRefused:
    "Every address that the target names is one that no other cluster can have, or is this cluster's own; the mirror has no endpoints.",
  GatewayNotAllowed:
    "The gateway that the export names by annotation is neither the Link's own nor in the Link's list; the mirror has no endpoints.",
  ImportHeld:
    'The import policy refuses many mirrors that exist at once; they are kept for half a minute, then removed.',
  Error: 'A write failed; it is tried again.',
} as const;

export type MirrorReason = keyof typeof mirrorReasons;

/** Reasons of Events beside those of verdicts. */
export const eventReasons = {
  AnnotationExport:
    'A Service is exported by an annotation, the older way; the message names the label to use instead.',
  PortsLeftOut: 'Ports that are not TCP are not mirrored; the message lists them.',
  DropHeld: 'Many mirrors would go at once; they are kept until a second list confirms it.',
  ImportMetadataLeftOut:
    "Labels or annotations of the export were not copied: they steer this cluster's own machinery, or find no room in the quota; the message lists them.",
  ImportAddressRefused:
    'Some addresses that the target names are not used; the message lists them and says why.',
  DropConfirmed: 'A second list from the same cluster confirms the removals that were held.',
  OverBudget:
    'The target makes the controller hold or read more than one Link may; the Link is parked, the message says which budget is over.',
  ClusterReplaced:
    'The target is not the cluster it was (another UID): removals are held until its exports return or a person accepts it.',
} as const;

export type EventReason = keyof typeof eventReasons;

/** Reasons by which the source refuses what a target exports: nothing has failed. */
export const REFUSED: ReadonlySet<MirrorReason> = new Set<MirrorReason>([
  'ImportNamespaceRefused',
  'ImportNameRefused',
  'ImportQuotaExceeded',
  'ImportAddressRefused',
  'GatewayNotAllowed',
]);

/**
 * Reasons that mean that an exported Service has no mirror, or a member no place in its federated Service.
 */
export const UNMIRRORED: ReadonlySet<MirrorReason> = new Set<MirrorReason>([
  'BeingDeleted',
  'EgressPortsExhausted',
  'Error',
  'InvalidService',
  'MissingNamespace',
  'NameConflict',
  'NameInvalid',
  'NameTooLong',
  'NoGateway',
  'OverBudgetService',
]);

/**
 * Reasons that mean that nothing of ours stands, or can stand, where the mirror or the federated Service
 * would: what was claimed for it is given back.
 */
export const NOTHING_OF_OURS: ReadonlySet<MirrorReason> = new Set<MirrorReason>([
  'MissingNamespace',
  'NameConflict',
]);
