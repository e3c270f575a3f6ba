/**
 * Labels, annotations and well-known names: the contract with users, with Linkerd's own components and
 * between our processes. Linkerd's are listed in linkerd2 `pkg/k8s/labels.go`; ours live under
 * `linkspan.dev`.
 */

/** Label on a Service in the target cluster; `true` = through the gateway, `remote-discovery` = flat. */
export const EXPORTED_LABEL = 'mirror.linkerd.io/exported';
/** Label on a Service that joins `<svc>-federated`; value `member`. */
export const FEDERATED_LABEL = 'mirror.linkerd.io/federated';

/**
 * The older way to export, as annotations of the Service in the target cluster (Linkerd 2.8): through the
 * gateway Service `<gateway-ns>/<gateway-name>`, name default `linkerd-gateway`.
 */
export const EXPORT_GATEWAY_NAMESPACE = 'mirror.linkerd.io/gateway-ns';
export const EXPORT_GATEWAY_NAME = 'mirror.linkerd.io/gateway-name';

/**
 * Label on a flat mirror: the cluster whose API server Linkerd's destination controller asks for the
 * endpoints. On a federated Service the same key is an annotation: `<svc>@<cluster>,…`, in order of joining.
 */
export const REMOTE_DISCOVERY = 'multicluster.linkerd.io/remote-discovery';
/** Label on a flat mirror: name of the remote Service. */
export const REMOTE_SERVICE_LABEL = 'multicluster.linkerd.io/remote-service';
/** Annotation on a federated Service: name of the member in the source cluster itself. */
export const LOCAL_DISCOVERY = 'multicluster.linkerd.io/local-discovery';
/** Label on an endpoint mirror: name of the headless mirror that it belongs to. */
export const HEADLESS_MIRROR_LABEL = 'mirror.linkerd.io/headless-mirror-svc-name';

/**
 * Stands for the source cluster itself where the name of a target cluster could stand: in tiers and drains,
 * in metrics, and in what controllers answer. No target cluster is called so.
 */
export const LOCAL = 'local';

/**
 * Longest name of a cluster of which a mirror `<svc>-<cluster>` can have a name: 63 characters, one of them
 * the Service's.
 */
export const MAX_CLUSTER_NAME = 61;

/** Label on everything that mirroring made; always `true`. */
export const MIRRORED_SERVICE_LABEL = 'mirror.linkerd.io/mirrored-service';
/** Label on everything that mirroring made for one target cluster: `Link.spec.targetClusterName`. */
export const CLUSTER_NAME_LABEL = 'mirror.linkerd.io/cluster-name';
/** Annotation on a mirror: resourceVersion of the remote Service it was made from. */
export const REMOTE_RESOURCE_VERSION = 'mirror.linkerd.io/remote-resource-version';
/**
 * Annotation on a mirror and its endpoints: `<svc>.<ns>.svc.<targetClusterDomain>`; Linkerd's destination
 * controller sends it as authority.
 */
export const REMOTE_SERVICE_FQ_NAME = 'mirror.linkerd.io/remote-svc-fq-name';
/** Annotation on a mirror's endpoints: the TLS identity that the client must demand of the gateway. */
export const REMOTE_GATEWAY_IDENTITY = 'mirror.linkerd.io/remote-gateway-identity';

/** Annotations of the gateway Service in the target cluster, read by `link-gen`. */
export const GATEWAY_IDENTITY = 'mirror.linkerd.io/gateway-identity';
export const GATEWAY_PROBE_PERIOD = 'mirror.linkerd.io/probe-period';
export const GATEWAY_PROBE_PATH = 'mirror.linkerd.io/probe-path';
export const GATEWAY_MARKER = 'mirror.linkerd.io/multicluster-gateway';

/** Port names of the gateway Service. */
export const GATEWAY_PORT_NAME = 'mc-gateway';
export const PROBE_PORT_NAME = 'mc-probe';
/**
 * Port of our pods for operators: metrics, diagnostics, the log level. On no Service of type LoadBalancer; it
 * ends in `-admin`, by which the Prometheus of linkerd-viz picks ports.
 */
export const ADMIN_PORT_NAME = 'linkspan-admin';

/** Type of the Secrets that hold a remote cluster's kubeconfig; the data key is `kubeconfig`. */
export const CREDENTIALS_SECRET_TYPE = 'mirror.linkerd.io/remote-kubeconfig';
export const CREDENTIALS_SECRET_KEY = 'kubeconfig';
/** Label and annotations on the copy of the credentials that Linkerd's destination controller reads. */
export const DESTINATION_CLUSTER_NAME_LABEL = 'multicluster.linkerd.io/cluster-name';
export const DESTINATION_TRUST_DOMAIN = 'multicluster.linkerd.io/trust-domain';
export const DESTINATION_CLUSTER_DOMAIN = 'multicluster.linkerd.io/cluster-domain';

/**
 * Annotation on a Service or pod: ports that carry opaque bytes, as numbers, ranges and port names. Always
 * copied to mirrors.
 */
export const OPAQUE_PORTS = 'config.linkerd.io/opaque-ports';

/** Label on everything that belongs to the extension; value `multicluster`. */
export const EXTENSION_LABEL = 'linkerd.io/extension';
const EXTENSION = 'multicluster';
/** The label with its value, to set; and as a selector. */
export const EXTENSION_LABELS: Readonly<Record<string, string>> = { [EXTENSION_LABEL]: EXTENSION };
export const EXTENSION_SELECTOR = `${EXTENSION_LABEL}=${EXTENSION}`;

/** Whether an object says that it belongs to the extension, Linkerd's or ours. */
export function isOfExtension({
  metadata,
}: {
  readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
}): boolean {
  return metadata?.labels?.[EXTENSION_LABEL] === EXTENSION;
}

/** Annotation on a Link: who wrote it, `<product>/cli <version>`. */
export const CREATED_BY = 'linkerd.io/created-by';
/**
 * Annotation on the credentials Secret of a Link: life of its token, a duration such as `24h`. The controller
 * renews the token before it expires; without it nothing is renewed.
 */
export const TOKEN_TTL = 'linkspan.dev/token-ttl';
/**
 * Annotation on a mirror: `namespace/name` of the Link that it was made for, so that what a deleted Link
 * leaves behind is known to be ours.
 */
export const LINK_ANNOTATION = 'linkspan.dev/link';
/**
 * Group of annotations on a federated Service: `members.linkspan.dev/<cluster>` is the Link
 * (`namespace/name`) that a member came by.
 */
export const MEMBER_LINK_GROUP = 'members.linkspan.dev';
/**
 * Annotation on an account for source clusters and on the Links that use it: namespaces of the target that it
 * may read, separated by commas; without it all.
 */
export const READABLE_NAMESPACES = 'linkspan.dev/readable-namespaces';
/**
 * Annotation on a Link: UID of the target's `default/kubernetes` Service that a person has accepted after the
 * cluster was rebuilt.
 */
export const ACCEPTED_CLUSTER = 'linkspan.dev/accept-cluster';
/** Annotation on a Link or, on a mirror, what was decided: `gateway` or `relay`. */
export const DATA_PATH = 'linkspan.dev/data-path';
/** Annotation on a mirror: UID of the remote Service it was made from. */
export const REMOTE_UID = 'linkspan.dev/remote-uid';
/**
 * Annotation on a mirror: comma-separated keys of labels and annotations copied from the remote Service, so
 * that they can be taken back.
 */
export const COPIED_KEYS = 'linkspan.dev/copied-keys';
/**
 * We write it onto our own copy of a Service that is larger than one Service may be; the value says why.
 * Never written to a cluster.
 */
export const OVER_BUDGET = 'linkspan.dev/over-budget';
/**
 * Annotation on a mirror's endpoints: why it has none, or why those that it has are not ready: a reason, or
 * which addresses do not answer. For people.
 */
export const NOT_READY = 'linkspan.dev/not-ready';
/**
 * Annotation on a relay mirror: egress port for each service port, JSON `{"<service port>": <egress port>}`.
 */
export const EGRESS_PORTS = 'linkspan.dev/egress-ports';
/**
 * Group of annotations on a relayed federated Service: `egress-ports.linkspan.dev/<cluster>` holds the egress
 * port of each service port for that cluster.
 */
export const FEDERATED_EGRESS_PORTS_GROUP = 'egress-ports.linkspan.dev';
/**
 * Annotation on a relay mirror whose export names a gateway other than the Link's: JSON
 * `{"addresses":["10.0.0.1"],"port":4143,"identity":"…"}`.
 */
export const MIRROR_GATEWAY = 'linkspan.dev/gateway';
/**
 * Annotation on an exported Service in the target: comma-separated identities (`*` as first label is a
 * wildcard) that may use it; absent = the whole trust domain.
 */
export const ALLOWED_CLIENTS = 'linkspan.dev/allowed-clients';

/**
 * Annotation on a relayed mirror, or a relayed federated Service: comma-separated namespaces whose pods may
 * use it beside its own, `*` = all; absent = the egress' `--default-relay-policy`.
 */
export const ALLOWED_NAMESPACES = 'linkspan.dev/allowed-namespaces';

/**
 * Annotation on an exported Service, copied to its mirrors: what is expected of it, such as
 * `99.9%, p99<300ms`.
 */
export const SLO = 'linkspan.dev/slo';

/**
 * Annotations on an exported Service in the target: how much may come through each gateway, from all clients,
 * from each, and from those named (`<identity>=<rate>,…`). Rates: `100/s burst 200`.
 */
export const RATE_LIMIT = 'linkspan.dev/rate-limit';
export const RATE_LIMIT_PER_CLIENT = 'linkspan.dev/rate-limit-per-client';
export const RATE_LIMIT_CLIENTS = 'linkspan.dev/rate-limit-clients';
/**
 * Annotation on an exported Service in the target: faults that a drill injects, JSON; followed where the
 * gateway allows it.
 */
export const FAULTS = 'linkspan.dev/faults';
/**
 * Annotation on a Service (exported ones and mirrors) or a Namespace: `off`, nobody may look at its requests
 * with `linkspan tap`; `no-paths`, not at their paths.
 */
export const TAP = 'linkspan.dev/tap';
/**
 * Annotation of Linkerd's viz on Namespaces (and, of ours, on Services): `true` is as
 * `linkspan.dev/tap: off`.
 */
export const VIZ_DISABLE_TAP = 'viz.linkerd.io/disable-tap';

/**
 * Linkerd's annotations on Services and pods: ports whose bytes are not looked at, ports that do not pass the
 * proxy, the proxy's own port, and who may use ports that no Server selects (the injector copies it from the
 * namespace).
 */
export const SKIPPED_INBOUND_PORTS = 'config.linkerd.io/skip-inbound-ports';
export const INBOUND_PORT = 'config.linkerd.io/inbound-port';
export const DEFAULT_INBOUND_POLICY = 'config.linkerd.io/default-inbound-policy';

/** Annotation on a token Secret: the ServiceAccount it is for. */
export const ACCOUNT_NAME = 'kubernetes.io/service-account.name';
/** Annotation that Helm puts on what it installs. */
export const HELM_RELEASE_NAME = 'meta.helm.sh/release-name';
/**
 * What annotations of a Link begin with that say what the source takes from the target (ADR 0027,
 * docs/reference/link.md).
 */
export const IMPORT_CONTROL_PREFIX = 'linkspan.dev/import-';
/** Namespaces and Services that are taken: comma-separated, `*` for any characters. */
export const IMPORT_NAMESPACES = 'linkspan.dev/import-namespaces';
export const IMPORT_NAMES = 'linkspan.dev/import-names';
/** Labels and annotations that are copied: keys and `<group>/*`, comma-separated. */
export const IMPORT_LABELS = 'linkspan.dev/import-labels';
export const IMPORT_ANNOTATIONS = 'linkspan.dev/import-annotations';
/**
 * Ranges of the target's pods, for flat mirrors; ranges that gateway addresses may lie in although they are
 * the source's own.
 */
export const IMPORT_POD_CIDRS = 'linkspan.dev/import-pod-cidrs';
export const IMPORT_GATEWAY_CIDRS = 'linkspan.dev/import-gateway-cidrs';
/**
 * Gateways that exports may name by annotation: JSON
 * `[{"addresses":["10.0.0.1"],"port":4143,"identity":"…"}]`.
 */
export const IMPORT_GATEWAYS = 'linkspan.dev/import-gateways';
/** How much is taken: `mirrors=500,egress-ports=1000,namespaces=5,metadata-bytes=1000000`. */
export const IMPORT_QUOTAS = 'linkspan.dev/import-quotas';

/** `endpointslice.kubernetes.io/managed-by` of the slices we write, and fieldManager of every write. */
export const MANAGER = 'linkspan.dev';
/** fieldManager of what a person writes with the CLI. */
export const CLI_MANAGER = 'linkspan';
/** Label, and its value, of every object that Linkspan installs. */
export const PART_OF_LABEL = 'app.kubernetes.io/part-of';
export const PART_OF = 'linkspan';
/** Label selector of what Linkspan has installed, whoever has applied it. */
export const OURS = `${PART_OF_LABEL}=${PART_OF}`;
/** Source of our Events and holder prefix of our Leases. */
export const CONTROLLER_NAME = 'linkspan-controller';
/** Name of the signer's Deployment and account. */
export const SIGNER_DEPLOYMENT = 'linkspan-signer';

export const DEFAULT_NAMESPACE = 'linkerd-multicluster';
export const DEFAULT_LINKERD_NAMESPACE = 'linkerd';
/** The account that a target has for source clusters, by Linkerd's name. */
export const REMOTE_ACCESS_ACCOUNT = 'linkerd-service-mirror-remote-access-default';
export const DEFAULT_GATEWAY_NAME = 'linkerd-gateway';
/** Service in the controller's namespace whose EndpointSlices are the egress pods. */
export const DEFAULT_EGRESS_NAME = 'linkspan-egress';
/**
 * Port of that Service which only those egress pods have that serve ports for several clusters (ADR 0036).
 * Nothing listens on it: it tells the controller which pods are of an older release and do not.
 */
export const EGRESS_GROUPS_PORT = 'groups';
/** Port of that Service: the admin port of each egress pod. */
export const EGRESS_ADMIN_PORT = 'admin';
export const DEFAULT_CLUSTER_DOMAIN = 'cluster.local';
/** ALPN protocol of Linkerd's transport header, which begins with the same word. */
export const TRANSPORT_HEADER_ALPN = 'transport.l5d.io/v1';
/**
 * ALPN protocol of stream mode between our own egress and gateway: HTTP/2 whose streams each say what they
 * are for (ADR 0017). The version is that of the wire format.
 */
export const STREAMS_ALPN = 'linkspan.dev/v1';
/**
 * The same where streams also say on whose behalf (ADR 0031). A gateway offers it only when it believes some
 * relay.
 */
export const STREAMS_CLIENTS_ALPN = 'linkspan.dev/v2';

/** signerName of the CertificateSigningRequests that `linkspan signer` signs. */
export const SIGNER_NAME = 'linkspan.dev/workload';

/**
 * ConfigMap in the signer's namespace that holds the signer's trust anchors
 * (credentials/trust-config-maps.ts).
 */
export const TRUST_CONFIG_MAP = 'linkspan-trust';

/** ConfigMap beside it with the trust anchors of other domains, a key `<domain>.crt` for each. */
export const ANCHORS_CONFIG_MAP = 'linkspan-anchors';

/** Secret of the signer's issuer, unless the chart's values say another. */
export const ISSUER_SECRET = 'linkspan-issuer';

/** What a workload's certificate is for: both ends of a connection. */
export const LEAF_USAGES = ['digital signature', 'server auth', 'client auth'] as const;

/** Domains of groups and types that are Linkspan's or those of Linkerd's multicluster extension. */
export const MULTICLUSTER_DOMAINS: readonly string[] = [
  'linkspan.dev',
  'mirror.linkerd.io',
  'multicluster.linkerd.io',
];
/**
 * Labels and annotations that only they write. Not those by which people export: the objects that have them
 * are the people's.
 */
export const MULTICLUSTER_KEYS: readonly string[] = [
  MIRRORED_SERVICE_LABEL,
  DESTINATION_CLUSTER_NAME_LABEL,
  GATEWAY_MARKER,
  LINK_ANNOTATION,
];

/**
 * What a metric calls the rules that let a client in: the annotation of a Service, or the trust domain of the
 * gateway.
 */
export const ALLOWED_BY_ANNOTATION = 'linkspan.dev/annotation/allowed-clients';
export const ALLOWED_BY_TRUST_DOMAIN = 'linkspan.dev/gateway/trust-domain';

/** Label on pods that a Linkerd proxy was injected into: the namespace of their control plane. */
export const CONTROL_PLANE_LABEL = 'linkerd.io/control-plane-ns';
/** `controllerName` of the entries of a Link's status: Linkerd writes this name, its tools look for it. */
export const SERVICE_MIRROR = 'linkerd.io/service-mirror';
/** A label that no object has, for selectors that select nothing. */
export const ON_NOTHING = 'linkspan.dev/none';

/** Group of the Multi-Cluster Services API (KEP-1645): what it says of an export is not copied. */
export const MCS_GROUP = 'multicluster.x-k8s.io';
/** Audience of the tokens by which workloads prove to Linkerd's identity service who they are. */
export const IDENTITY_AUDIENCE = 'identity.l5d.io';
/** What the ids of Linkerd's checks begin with, by which its documentation knows them. */
export const LINKERD_CHECK_PREFIX = 'l5d-';
/** Port on which the controller answers the CLI (`--admin`), unless its flag says another. */
export const CONTROLLER_ADMIN_PORT = 9999;
/** Metrics by which `check` learns of a process' certificate: when it was taken, and when it ends. */
export const LEAF_REFRESH_METRIC = 'control_identity_cert_refresh_timestamp_seconds';
export const LEAF_EXPIRY_METRIC = 'control_identity_cert_expiration_timestamp_seconds';
