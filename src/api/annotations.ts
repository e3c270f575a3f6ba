import { TRAFFIC_ANNOTATIONS, type TrafficAnnotation } from './linkerd/traffic-annotations.ts';
import {
  FAILOVER_ANNOTATION_LIMITS,
  FAILOVER_DRAIN_GROUP,
  MAX_DRAIN_LENGTH,
} from './failover/failover-names.ts';
import * as names from './names.ts';

/** Annotations as an object of the API has them. What they say is a stranger's word. */
export type Annotations = Readonly<Record<string, string>>;

const KIB = 1024;
/** Longest value, in characters, of an annotation that is read, where nothing else is said. */
export const MAX_ANNOTATION = 4 * KIB;
/** Lists with an entry of up to 260 characters for each client. */
const CLIENT_LIST = 16 * KIB;
/** With a few characters for each port or cluster. */
const OWN_LIST = 64 * KIB;
/**
 * All annotations of an object together: the API server takes no more (apimachinery
 * `TotalAnnotationSizeLimitB`).
 */
const ALL_OF_AN_OBJECT = 256 * KIB;

const TRAFFIC_LIMITS = Object.fromEntries(
  TRAFFIC_ANNOTATIONS.map((name) => [name, MAX_ANNOTATION]),
) as Readonly<Record<TrafficAnnotation, number>>;

/**
 * Every annotation that Linkspan reads of any object, and how long its value may be. An annotation that is
 * not in this list cannot be read (`readAnnotation` does not take its name), so each has a limit, and the
 * tests try each with worst-case text.
 */
export const ANNOTATION_LIMITS = {
  // Of exported Services, and of their mirrors, which have them by copying.
  [names.ALLOWED_CLIENTS]: CLIENT_LIST,
  [names.RATE_LIMIT]: MAX_ANNOTATION,
  [names.RATE_LIMIT_PER_CLIENT]: MAX_ANNOTATION,
  [names.RATE_LIMIT_CLIENTS]: CLIENT_LIST,
  [names.FAULTS]: MAX_ANNOTATION,
  [names.SLO]: MAX_ANNOTATION,
  [names.TAP]: MAX_ANNOTATION,
  [names.VIZ_DISABLE_TAP]: MAX_ANNOTATION,
  [names.EXPORTED_LABEL]: MAX_ANNOTATION,
  [names.EXPORT_GATEWAY_NAMESPACE]: MAX_ANNOTATION,
  [names.EXPORT_GATEWAY_NAME]: MAX_ANNOTATION,
  ...TRAFFIC_LIMITS,
  // Of Services, pods and machines.
  [names.ALLOWED_NAMESPACES]: MAX_ANNOTATION,
  [names.OPAQUE_PORTS]: MAX_ANNOTATION,
  [names.SKIPPED_INBOUND_PORTS]: MAX_ANNOTATION,
  [names.INBOUND_PORT]: MAX_ANNOTATION,
  [names.DEFAULT_INBOUND_POLICY]: MAX_ANNOTATION,
  // Of gateway Services.
  [names.GATEWAY_IDENTITY]: MAX_ANNOTATION,
  [names.GATEWAY_PROBE_PERIOD]: MAX_ANNOTATION,
  [names.GATEWAY_PROBE_PATH]: MAX_ANNOTATION,
  // Of what mirroring made.
  [names.REMOTE_DISCOVERY]: OWN_LIST,
  [names.LOCAL_DISCOVERY]: MAX_ANNOTATION,
  [names.REMOTE_RESOURCE_VERSION]: MAX_ANNOTATION,
  [names.REMOTE_SERVICE_FQ_NAME]: MAX_ANNOTATION,
  [names.LINK_ANNOTATION]: MAX_ANNOTATION,
  [names.REMOTE_UID]: MAX_ANNOTATION,
  [names.DATA_PATH]: MAX_ANNOTATION,
  [names.COPIED_KEYS]: ALL_OF_AN_OBJECT,
  [names.OVER_BUDGET]: MAX_ANNOTATION,
  [names.EGRESS_PORTS]: OWN_LIST,
  [names.MIRROR_GATEWAY]: MAX_ANNOTATION,
  [names.NOT_READY]: MAX_ANNOTATION,
  // Failover: of federated Services, TrafficSplits, routes, EndpointSlices and Links.
  ...FAILOVER_ANNOTATION_LIMITS,
  // Of Links and Secrets, and of what is installed.
  [names.ACCEPTED_CLUSTER]: MAX_ANNOTATION,
  [names.READABLE_NAMESPACES]: OWN_LIST,
  [names.IMPORT_GATEWAYS]: 8 * MAX_ANNOTATION,
  [names.TOKEN_TTL]: MAX_ANNOTATION,
  [names.CREATED_BY]: MAX_ANNOTATION,
  [names.ACCOUNT_NAME]: MAX_ANNOTATION,
  [names.HELM_RELEASE_NAME]: MAX_ANNOTATION,
} as const;

/** The same for annotations with a cluster's name behind the group. */
export const ANNOTATION_GROUP_LIMITS = {
  [names.MEMBER_LINK_GROUP]: MAX_ANNOTATION,
  [names.FEDERATED_EGRESS_PORTS_GROUP]: OWN_LIST,
  [FAILOVER_DRAIN_GROUP]: MAX_DRAIN_LENGTH,
} as const;

/** The name of an annotation that may be read. */
export type AnnotationName =
  | keyof typeof ANNOTATION_LIMITS
  | `${keyof typeof ANNOTATION_GROUP_LIMITS}/${string}`;

/**
 * The value of an annotation; undefined where there is none. One that is longer than its limit counts as
 * empty: it is there, and says nothing (an empty `allowed-clients` lets nobody in), and the rest of the
 * object counts. Reflectors name it in the log.
 */
export function readAnnotation(
  annotations: Annotations | undefined,
  name: AnnotationName,
): string | undefined {
  const text: unknown = annotations?.[name];
  // Another cluster's API server may send a value that is no text.
  if (typeof text !== 'string') return undefined;
  if (text.length <= LEAST_LIMIT) return text;
  return text.length > (limitOf(name) ?? 0) ? '' : text;
}

/** What is wrong with annotations that are too long, one line for each that is read somewhere. */
export function overlongAnnotations(annotations: Annotations | undefined): string[] {
  const problems: string[] = [];
  for (const [name, text] of Object.entries<unknown>(annotations ?? {})) {
    if (typeof text !== 'string' || text.length <= LEAST_LIMIT) continue;
    const limit = limitOf(name);
    if (limit !== undefined && text.length > limit)
      problems.push(`${name} has ${text.length} characters, and ${limit} are allowed: it counts as empty`);
  }
  return problems;
}

const LIMITS: ReadonlyMap<string, number> = new Map(Object.entries(ANNOTATION_LIMITS));
const GROUP_LIMITS: ReadonlyMap<string, number> = new Map(Object.entries(ANNOTATION_GROUP_LIMITS));
/** The smallest of all limits: a shorter value is too long for none. */
const LEAST_LIMIT = Math.min(...LIMITS.values(), ...GROUP_LIMITS.values());

function limitOf(name: string): number | undefined {
  return LIMITS.get(name) ?? GROUP_LIMITS.get(name.slice(0, name.indexOf('/')));
}
