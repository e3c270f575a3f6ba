/**
 * What a reason comes to, for everybody who does not look at single ones.
 * - `fine`: the mirror is there, as it should be;
 * - `mirrored`: it is too, and yet it serves nobody, or only some: for no fault of mirroring;
 * - `unexported`: there is nothing to mirror;
 * - `unsettled`: it is left as it is, or shows nothing that could be used, until something comes right;
 * - `unmirrored`: the export has no mirror, or a member no place in its federated Service;
 * - `nothing`: the same, and nothing of ours stands, or can stand, under the name: what was claimed for it is
 *   given back;
 * - `refused`: the source's admin does not take it, or its addresses: nothing has failed;
 * - `held`: the same, but what stands is kept for a moment.
 */
export type ReasonClass =
  | 'fine'
  | 'mirrored'
  | 'unexported'
  | 'unsettled'
  | 'unmirrored'
  | 'nothing'
  | 'refused'
  | 'held';

interface ReasonEntry {
  readonly class: ReasonClass;
  /** One sentence or two, for the reference page and `linkspan explain`. */
  readonly meaning: string;
}

/**
 * Why a mirror or a federated membership is as it is. These words are API: the same one stands in conditions,
 * Events, log fields, metric labels, `linkspan explain` and `docs/reference/reasons.md` (a test compares).
 * `Mirrored`, `InvalidService`, `Error` and `MissingNamespace` are Linkerd's.
 */
export const mirrorReasons = {
  Mirrored: {
    class: 'fine',
    meaning: 'The mirror Service and its endpoints are as they should be.',
  },
  NoReadyEndpoints: {
    class: 'mirrored',
    meaning: 'The Service in the target cluster has no ready endpoints, so the mirror has none.',
  },
  AddressFamilyMismatch: {
    class: 'mirrored',
    meaning:
      'The mirror has a ClusterIP of one address family (IPv4, IPv6) and endpoints of the other only, so that kube-proxy sends nothing to them; clients with a Linkerd proxy dial them directly.',
  },
  GatewayDead: {
    class: 'unsettled',
    meaning:
      'No address of the gateway answers its probes; the mirror keeps its addresses, not ready, so that nothing is sent to them.',
  },
  GatewayUnknown: {
    class: 'unsettled',
    meaning:
      'No address of the gateway has answered its first probe yet; the mirror is left as it is until then.',
  },
  GatewayUnresolved: {
    class: 'unsettled',
    meaning:
      'No address of the gateway is known: its host name cannot be resolved, or its Service has none. A mirror that is there is left as it is, a new one has no endpoints.',
  },
  NoGateway: {
    class: 'unmirrored',
    meaning:
      'The Link names no gateway, so nothing can be mirrored through it; a mirror that was there is removed.',
  },
  ClusterLost: {
    class: 'unsettled',
    meaning:
      'Neither the gateway nor the API server of the cluster has answered for the delay of the policy, and others can serve: the member is left out of its federated Service until both have answered for as long. Only where requests do not pass through the egress.',
  },
  NoEgress: {
    class: 'unsettled',
    meaning: 'No egress pod is ready, so the relay mirror has no endpoints.',
  },
  EgressPortsExhausted: {
    class: 'unmirrored',
    meaning:
      'Every port that egress pods have for relay mirrors is taken; the mirror waits for one, as it is.',
  },
  EgressPortsUnrecorded: {
    class: 'unsettled',
    meaning:
      'The egress ports of the mirror are being written to the record (ConfigMaps `linkspan-egress-routes-…`); the mirror is left as it is until they stand there, a moment later.',
  },
  MissingNamespace: {
    class: 'nothing',
    meaning: 'The namespace does not exist in the source cluster; the mirror is made as soon as it does.',
  },
  InvalidService: {
    class: 'unmirrored',
    meaning:
      'The exported Service cannot be mirrored (no TCP port, of type ExternalName, or headless where that cannot be); the message says which. A mirror that was there is removed.',
  },
  NameTooLong: {
    class: 'unmirrored',
    meaning: 'The name of the mirror would be longer than 63 characters, so it is not made.',
  },
  NameInvalid: {
    class: 'unmirrored',
    meaning:
      "The source cluster's API server does not take the name of the mirror (a newer target may allow names that it does not); it is not tried again until the export changes.",
  },
  NameConflict: {
    class: 'nothing',
    meaning: 'A Service that Linkspan does not own has the name of the mirror; it is left alone.',
  },
  BeingDeleted: {
    class: 'unmirrored',
    meaning:
      'The mirror Service is being deleted and a finalizer holds it, which the message names; it is made anew as soon as it is gone.',
  },
  NotExported: {
    class: 'unexported',
    meaning: 'The Service is not, or no longer, exported by the target cluster.',
  },
  NotSynced: {
    class: 'unsettled',
    meaning:
      'The first complete list from the target cluster, of its exports or their endpoints, has not arrived; nothing is changed until then.',
  },
  Pending: {
    class: 'unsettled',
    meaning: 'The export is known, and has not been looked at yet; that takes a moment.',
  },
  OverBudgetService: {
    class: 'unmirrored',
    meaning:
      'The Service alone is more than one may be (labels and annotations, or ports; the message has the numbers); its mirror is left as it is.',
  },
  DropHeld: {
    class: 'unsettled',
    meaning:
      'Removing this mirror, or its last endpoints, is held back: too many would go at once, a second list must confirm it.',
  },
  ImportNamespaceRefused: {
    class: 'refused',
    meaning:
      'The import policy of the Link takes nothing into this namespace: it is protected, or not in the list; a mirror that was there is removed.',
  },
  ImportNameRefused: {
    class: 'refused',
    meaning:
      'The import policy of the Link does not take a Service of this name; a mirror that was there is removed.',
  },
  ImportQuotaExceeded: {
    class: 'refused',
    meaning:
      'The quota of the Link has no room for it; the message says which. A mirror that has room keeps it, one that has none is removed.',
  },
  ImportAddressRefused: {
    class: 'refused',
    meaning:
      "Every address that the target names is one that no other cluster can have, or is this cluster's own; the mirror has no endpoints.",
  },
  GatewayNotAllowed: {
    class: 'refused',
    meaning:
      "The gateway that the export names by annotation is neither the Link's own nor in the Link's list; the mirror has no endpoints.",
  },
  ImportHeld: {
    class: 'held',
    meaning:
      'The import policy refuses many mirrors that exist at once; they are kept for half a minute, then removed.',
  },
  Error: {
    class: 'unmirrored',
    meaning: 'A write failed; it is tried again.',
  },
} as const satisfies Readonly<Record<string, ReasonEntry>>;

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
  OwnNetworkSuspected:
    "The gateways of all clusters have died in one moment: this cluster's own network is suspected; the message lists them. Said once, on one of their Links.",
  ClusterReplaced:
    'The target is not the cluster it was (another UID): removals are held until its exports return or a person accepts it.',
} as const;

export type EventReason = keyof typeof eventReasons;

/** Whether it is there and as it should be, whomever it serves. */
export function countsAsMirrored(reason: MirrorReason): boolean {
  return isOf(reason, 'fine', 'mirrored');
}

/** Whether an exported Service has no mirror, or a member no place in its federated Service, and should. */
export function isUnmirrored(reason: MirrorReason): boolean {
  return isOf(reason, 'unmirrored', 'nothing');
}

/** Whether nothing of ours stands, or can stand, under the name. */
export function isNothingOfOurs(reason: MirrorReason): boolean {
  return isOf(reason, 'nothing');
}

/** Whether the source refuses what a target exports: nothing has failed. */
export function isRefused(reason: MirrorReason): boolean {
  return isOf(reason, 'refused');
}

/** Whether the source refuses it, or will in a moment. */
export function isRefusedOrHeld(reason: MirrorReason): boolean {
  return isOf(reason, 'refused', 'held');
}

/** Whether somebody should look at it: all but what is well, not exported, or refused. */
export function isTrouble(reason: MirrorReason): boolean {
  return !isOf(reason, 'fine', 'unexported', 'refused', 'held');
}

function isOf(reason: MirrorReason, ...classes: readonly ReasonClass[]): boolean {
  // A controller of another version may know more of them; those are of no class.
  return Object.hasOwn(mirrorReasons, reason) && classes.includes(mirrorReasons[reason].class);
}
