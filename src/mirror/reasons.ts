/**
 * Why a mirror is as it is. These words are API: the same one stands in conditions, Events, log fields, metric labels, `linkspan explain` and
 * `docs/reference/reasons.md` (a test compares). `Mirrored`, `InvalidService`, `Error` and `MissingNamespace` are Linkerd's.
 */
export const mirrorReasons = {
  Mirrored: 'The mirror Service and its endpoints are as they should be.',
  NoReadyEndpoints: 'The Service in the target cluster has no ready endpoints, so the mirror has none.',
  GatewayUnresolved: 'No address of the gateway is known yet, so the mirror has no endpoints.',
  NoGateway: 'The Link names no gateway, so nothing can be mirrored through it.',
  NoEgress: 'No egress pod is ready, so the relay mirror has no endpoints.',
  EgressPortsExhausted: 'Every egress port is taken; make the range larger.',
  MissingNamespace:
    'The namespace does not exist in the source cluster; the mirror is made as soon as it does.',
  InvalidService: 'The exported Service cannot be mirrored: no TCP port, or of type ExternalName.',
  NameTooLong: 'The name of the mirror would be longer than 63 characters.',
  NameConflict: 'A Service that Linkspan does not own has the name of the mirror; it is left alone.',
  NotExported: 'The Service is not, or no longer, exported by the target cluster.',
  NotSynced:
    'The first complete list from the target cluster has not arrived; nothing is changed until then.',
  DropHeld: 'Removing this mirror is held back: too many would go at once, a second list must confirm it.',
  Error: 'A write failed; it is tried again.',
} as const;

export type MirrorReason = keyof typeof mirrorReasons;
