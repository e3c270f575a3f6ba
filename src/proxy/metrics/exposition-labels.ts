import { DEFAULT_GATEWAY_NAME } from '../../api/names.ts';
import { mirrorOf, serviceOf, targetKey } from '../../api/ports/target-key.ts';
import { POLICY_GROUP } from '../../api/linkerd/linkerd-kinds.ts';
import { formatAddress, type SocketAddress } from '../../base/address.ts';
import type { LabelValues } from '../../telemetry/exposition.ts';

/** The kind of a process, as linkerd2-proxy's `direction`: `inbound` is a gateway, `outbound` an egress. */
export type Side = 'inbound' | 'outbound';

/** Where a target of an egress lies; it is reached with mTLS. */
export interface TargetPlace {
  /** Name of its cluster, as the Link says. */
  readonly cluster: string;
  /** The Service there, `name.namespace.svc.domain`. */
  readonly name: string;
}

/** The forms of a histogram in the protobuf format. */
export const LATENCY_FORMATS = ['both', 'native', 'classic'] as const;
export type LatencyFormat = (typeof LATENCY_FORMATS)[number];

/** What is said of a process beside its numbers. */
export interface ExpositionSource {
  /** The address that clients connect to; absent at an egress, which has many. */
  readonly listen?: SocketAddress;
  /**
   * How the latency of targets is told in protobuf: with bounds by status, as in the text, as one native
   * histogram, or both (default).
   */
  readonly latency?: LatencyFormat | undefined;
  /** Where a target lies, by its label; default: what its label says. */
  readonly placeOf?: (label: string) => TargetPlace | undefined;
}

/** Labels of whatever is counted of a target: the names that Linkerd's boards select by. */
export const TARGET_LABELS = [
  'direction',
  'authority',
  'dst_service',
  'dst_namespace',
  'dst_target_cluster',
  'dst_target_service',
  'dst_target_service_namespace',
  'tls',
];

/**
 * The labels of a target: `authority`; `dst_service` and `dst_namespace` where its name is a Kubernetes
 * Service's (a pod's host name may stand in front) or a mirror's; and where it lies in another cluster what
 * it is there.
 * @param label `name:port`, or `namespace/mirror:port`
 */
export function targetLabels(label: string, placeOf?: ExpositionSource['placeOf']): LabelValues {
  const service = mirrorOf(label) ?? serviceOf(label);
  if (service === undefined) return { authority: label };
  const own = { authority: label, dst_service: service.name, dst_namespace: service.namespace };
  const place = placeOf?.(label);
  if (place === undefined) return own;
  const there = serviceOf(targetKey(place.name, 0));
  const known =
    there === undefined
      ? {}
      : { dst_target_service: there.name, dst_target_service_namespace: there.namespace };
  return { ...own, dst_target_cluster: place.cluster, ...known, tls: 'true' };
}

/**
 * The labels of the gateway's port, named as in Linkerd's chart; none for an egress, which has many ports.
 */
export function serverLabels(side: Side, listen: SocketAddress | undefined): LabelValues {
  if (side === 'outbound' || listen === undefined) return {};
  return {
    target_addr: formatAddress(listen),
    target_ip: listen.host,
    target_port: listen.port,
    srv_group: POLICY_GROUP,
    srv_kind: 'server',
    srv_name: DEFAULT_GATEWAY_NAME,
    srv_port: listen.port,
  };
}

/**
 * The labels of a policy.
 * @param policy `group/kind/name`; empty: the default, every client of the trust domain
 */
export function policyLabels(policy: string): LabelValues {
  if (policy === '') return { authz_group: '', authz_kind: 'default', authz_name: 'all-authenticated' };
  const [authz_group = '', authz_kind = '', authz_name = policy] = policy.split('/');
  return { authz_group, authz_kind, authz_name };
}
