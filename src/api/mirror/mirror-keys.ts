import {
  FAILOVER_EFFECTIVE_POLICY,
  FAILOVER_EFFECTIVE_TIERS,
  FAILOVER_FACTS,
} from '../failover/failover-names.ts';
import {
  CLUSTER_NAME_LABEL,
  COPIED_KEYS,
  DATA_PATH,
  EGRESS_PORTS,
  FEDERATED_EGRESS_PORTS_GROUP,
  HEADLESS_MIRROR_LABEL,
  LINK_ANNOTATION,
  LOCAL_DISCOVERY,
  MEMBER_LINK_GROUP,
  MIRROR_GATEWAY,
  MIRRORED_SERVICE_LABEL,
  NOT_READY,
  REMOTE_DISCOVERY,
  REMOTE_GATEWAY_IDENTITY,
  REMOTE_RESOURCE_VERSION,
  REMOTE_SERVICE_FQ_NAME,
  REMOTE_SERVICE_LABEL,
  REMOTE_UID,
} from '../names.ts';

/**
 * Labels that only controllers write on Services and their endpoints: what is mirrored, from where. The
 * chart's admission policy lets nobody else set them.
 */
export const MIRROR_LABELS: readonly string[] = [
  MIRRORED_SERVICE_LABEL,
  CLUSTER_NAME_LABEL,
  HEADLESS_MIRROR_LABEL,
  REMOTE_DISCOVERY,
  REMOTE_SERVICE_LABEL,
];
/** Annotations likewise. */
export const MIRROR_ANNOTATIONS: readonly string[] = [
  REMOTE_SERVICE_FQ_NAME,
  REMOTE_RESOURCE_VERSION,
  REMOTE_GATEWAY_IDENTITY,
  REMOTE_DISCOVERY,
  LOCAL_DISCOVERY,
  LINK_ANNOTATION,
  REMOTE_UID,
  COPIED_KEYS,
  DATA_PATH,
  EGRESS_PORTS,
  MIRROR_GATEWAY,
  NOT_READY,
  FAILOVER_FACTS,
  FAILOVER_EFFECTIVE_TIERS,
  FAILOVER_EFFECTIVE_POLICY,
];
/** Groups of such annotations, one for each member of a federated Service. */
export const MIRROR_ANNOTATION_GROUPS: readonly string[] = [MEMBER_LINK_GROUP, FEDERATED_EGRESS_PORTS_GROUP];

/** Where on an object a key stands. */
export type KeyPlace = 'labels' | 'annotations';

/** Whether a key is one of these, which are removed when no longer wanted, whoever set them. */
export function isMirrorKey(key: string, where: KeyPlace): boolean {
  if (where === 'labels') return MIRROR_LABELS.includes(key);
  return MIRROR_ANNOTATIONS.includes(key) || MIRROR_ANNOTATION_GROUPS.includes(key.split('/')[0] ?? '');
}
