import { type CatalogueEntry, entry } from './catalogue-entry.ts';
import { identityErrors } from './identity-errors.ts';

/**
 * Every error code of the product: what it means and what to do. Codes are API: they appear in messages, logs
 * and docs, are never renamed, and a retired code is never used again.
 * `test/unit/api/errors/error-catalogue.test.ts` compares this table with `docs/reference/errors.md` in both
 * directions.
 *
 * One folder's codes stand together; keep them sorted inside their block.
 */
export const catalogue = {
  // base and cli
  ADDRESS_NOT_LOCAL: entry(
    'The process should listen on an address that no interface of its machine or pod has.',
    'Choose one of its own addresses, or one that stands for all: 0.0.0.0, [::], or none before the colon.',
  ),
  CONFIG_INVALID: entry(
    'A flag, environment variable or configuration file has a wrong or unknown value.',
    'Correct the named setting; `linkspan <verb> --help` lists them.',
  ),
  CONFIG_UNREADABLE: entry(
    'The configuration file cannot be read.',
    'Check the path given with --config and its permissions.',
  ),
  CONTROLLER_NOT_FOUND: entry(
    'No controller replica answered a question of `mirrors`, `gateways` or `explain`.',
    'Check that the controller runs in --controller-namespace and that you may `get` pods/proxy there, or name its admin port with --controller http://host:9999.',
  ),
  INTERNAL_ERROR: entry(
    'Something happened in a running process that nobody foresaw: a mistake in Linkspan. It is in the log only, with its stack; what it happened in was ended or is tried again, and the process goes on.',
    'Report it with the line of the log. Where something stands still since then, restart that pod.',
  ),
  LISTEN_FAILED: entry(
    'The process cannot listen on an address, for a reason that the message names.',
    'Correct the address, or what the message names.',
  ),
  NODE_START_FAILED: entry(
    'The Node 26 that the project brings could not be started.',
    'Run `npm ci` again.',
  ),
  NODE_TOO_OLD: entry(
    'The Node that started Linkspan is older than 26 and no own Node is installed.',
    'Run `npm ci`, which brings Node 26, or install Node 26.',
  ),
  PORT_IN_USE: entry(
    'Another process has the address that the process should listen on.',
    'Stop the other process or choose another address.',
  ),
  PORT_NOT_PERMITTED: entry(
    'The account of the process may not listen on the address: mostly a port below 1024.',
    'Choose a port from 1024 on, or give the process CAP_NET_BIND_SERVICE.',
  ),
  PROMETHEUS_REFUSED: entry(
    'Prometheus does not answer as `linkspan dashboard --prometheus` needs it: it cannot be reached, refuses the question, or says something that is no answer.',
    'Check the address given with --prometheus: an URL, or `[<context>/]<namespace>/<service>[:<port>]`, which takes the right to `get` services/proxy there.',
  ),
  PROMETHEUS_TIMEOUT: entry(
    'Prometheus has not answered in time.',
    'Ask for a shorter time, or give Prometheus the recording rules of the chart (`monitoring.rules.enabled`) and more room.',
  ),
  STATS_FORBIDDEN: entry(
    'The pods of gateway and egress may not be asked for their numbers.',
    'Give the account the ClusterRole `linkspan-view` of the chart, by a RoleBinding in the namespace of the installation (`kubectl create rolebinding -n linkerd-multicluster linkspan-view --clusterrole linkspan-view --user NAME`).',
  ),
  STATS_NOT_FOUND: entry(
    'There is no pod of a gateway or an egress to ask for numbers of traffic, or none has answered.',
    'Check that Linkspan is installed in --controller-namespace (`linkspan check`), and which cluster --context names.',
  ),
  USAGE: entry(
    'The command line cannot be understood: an unknown verb or flag, or an argument that is missing or one too many. The exit code is 2.',
    'Correct the named word; `linkspan <verb> --help` says what there is.',
  ),

  // discovery
  TARGETS_INVALID: entry(
    'The file of gateway targets cannot be read or has a wrong entry.',
    'Correct the named line; while a running gateway has an older good version it goes on with that.',
  ),

  // failover
  DRAIN_BLIND: entry(
    'A drain is waited for, and nobody sees what clients get: no egress pod says what it has counted. It goes on by time, is not paused whatever fails, and is not said to be done; it ends at its time.',
    'See why egress pods do not answer (`linkspan check`; it needs `get` on `pods/proxy`, or --egress with the URLs of admin ports), and what clients get. `linkspan undrain` gives the share back.',
  ),
  DRAIN_CAPACITY: entry(
    'A cluster should be drained, and the others could not bear its requests; the message has the Services. Nothing was written.',
    'Add endpoints elsewhere, drain a part only (--to), drain single Services (--service), or drain all the same with --force.',
  ),
  DRAIN_CHANGED: entry(
    'While somebody waited for a drain, somebody else ended or changed it.',
    'Ask who it was: `linkspan failover` shows how things stand now.',
  ),
  DRAIN_NO_MEMBER: entry(
    'A single Service should be drained that is neither federated nor one without selector that leads elsewhere nor one that managed weights are about, or the cluster serves no requests of it; or it serves them only within a federated Service behind it, which the message names.',
    'Check --service, and `linkspan failover` for the Services and where they lead. Within a federated Service, drain that one: it holds for all who use it.',
  ),
  DRAIN_PAUSED: entry(
    'While a drain was waited for, too many responses were failures. It goes no further, and ends at its time.',
    'See what fails. Give the cluster everything back with `linkspan undrain`, or go on with the same `linkspan drain`.',
  ),
  DRAIN_SOLE_BACKEND: entry(
    'A cluster should be drained that is the only one which can serve some Services; the message has them. Nothing was written.',
    'Bring another member of these Services up first, or drain all the same with --force: what cannot go elsewhere still goes there.',
  ),
  DRAIN_TOO_MANY: entry(
    'More than half of all clusters, this one included, would be drained at the same time. Nothing was written.',
    'End another drain first with `linkspan undrain`, or drain all the same with --force.',
  ),
  DRAIN_UNREAD: entry(
    'A cluster should be drained, and splits or routes that may lead there could not be read: nobody knows whether the Services that they are about have somebody else. Nothing was written.',
    'Ask for `list` on the kinds, and on Services and EndpointSlices of the namespaces, that the message names; or drain all the same with --force.',
  ),
  DRILL_BLIND: entry(
    'A drill should begin, or was under way, and nobody could see what clients get: no egress pod said what it has counted, or the API server was silent. It was not begun, or was ended, and what had been seen is reported.',
    'See why egress pods or the API server do not answer (`linkspan check`; the drill needs `get` on `pods/proxy`, or --egress with the URLs of admin ports), then drill again.',
  ),
  DRILL_DRAINED: entry(
    'A drill should begin while somebody drains or drills the same cluster: its end would be the end of that, too.',
    'Wait until that is over, or end it with `linkspan undrain`, which ends drills as well.',
  ),
  DRILL_NOT_ENDED: entry(
    'A drill is over, and could not be ended: the write was refused, or its answer was lost. It ends by itself at the time that stands in the object.',
    'Wait until then, or end it at once with `linkspan undrain`, which ends drills as well.',
  ),

  // gateway
  WORKER_FAILED: entry(
    'The first worker process of a gateway ended before it could serve.',
    'Correct what the worker said; with --workers 1 the same error comes without a worker.',
  ),

  // identity
  ...identityErrors,

  // install
  CHART_FAILED: entry(
    'The helm program could not make manifests of the chart.',
    'Read what it says; `helm template charts/linkspan` shows the same.',
  ),
  HELM_MISSING: entry(
    'The helm program, which makes the manifests of the chart, could not be started.',
    'Install helm 3.14 or later (https://helm.sh/docs/intro/install), or name it with --helm or $LINKSPAN_HELM.',
  ),
  HELM_RELEASE: entry(
    'Linkspan was installed by Helm itself, which keeps its own record of values and versions.',
    'Use `helm upgrade` or `helm uninstall`, or take the installation over with --force.',
  ),
  INSTALLED_OTHERWISE: entry(
    'Linkspan is installed already, with values that the new install does not have or has differently.',
    'Use `linkspan upgrade`, which keeps them, give the same values, or install with these alone by --force.',
  ),
  INSTALL_NOT_READY: entry(
    'Everything is applied, but some of the Deployments did not become available in the given time.',
    'Look at what is said of their pods; the command can be repeated, and --wait gives it more time.',
  ),
  KUBERNETES_TOO_OLD: entry(
    'The cluster runs a version of Kubernetes that the chart does not support.',
    'Upgrade the cluster.',
  ),
  LINKS_EXIST: entry(
    'Linkspan cannot be uninstalled while clusters are linked: their mirrors and finalizers would stay.',
    'Unlink the clusters with `linkspan unlink`, or uninstall all the same with --force.',
  ),
  WEIGHTS_STAY: entry(
    'Weights that failover has written cannot be put back as their author wrote them; the message has the objects, and why. When it comes before anything else, nothing was deleted.',
    'Give yourself `patch` on these objects, or correct what refuses the write, and call `linkspan uninstall --apply` again, which also puts weights back when nothing else is left; --force deletes all the rest first.',
  ),
  NOT_INSTALLED: entry(
    'An upgrade, or the dashboard, found nothing that `linkspan install` has installed.',
    'Use `linkspan install`, with the context and namespace that are meant.',
  ),
  VALUES_INVALID: entry(
    'A value for the chart is unknown or wrong.',
    'Correct the named value; docs/reference/chart.md and charts/linkspan/values.yaml list them.',
  ),

  // kube
  APPLY_CONFLICT: entry(
    'Fields of an object that should be applied are kept by somebody else with other values (server-side apply). Nothing was written.',
    'Let the named one give the fields up, set the same value, or take them over with --force.',
  ),
  APPLY_FOREIGN: entry(
    "An object of the same name is there already and carries none of Linkspan's or Linkerd's labels. Nothing was written.",
    'Delete or rename it, or take it over with --force.',
  ),
  APPLY_INCOMPLETE: entry(
    'Everything had been accepted in a dry run, but the API server failed while it was being written.',
    'Repeat the command: it completes what is there.',
  ),
  APPLY_REFUSED: entry(
    'The API server would refuse some of the objects. Nothing was written.',
    'Correct what the API server says of each.',
  ),
  DELETE_INCOMPLETE: entry(
    'Objects that were deleted are still there after the time that was given.',
    'Look at their finalizers and at what should remove them, and repeat the command.',
  ),
  KIND_NOT_SERVED: entry(
    'The cluster does not serve a kind of object that should be applied.',
    'Install what brings the kind, or turn off the option that asks for it.',
  ),
  KUBECONFIG_INVALID: entry(
    'A kubeconfig does not parse, or names something that is not there.',
    'Correct the kubeconfig; `kubectl --kubeconfig <file> config view` shows how it is read.',
  ),
  KUBECONFIG_UNREADABLE: entry(
    'A kubeconfig, or a file that it names, cannot be read.',
    'Check the path and its permissions, or give --kubeconfig.',
  ),
  KUBE_ANSWER_TOO_LARGE: entry(
    'An answer of the API server, or one object in it, is larger than any should be, or a list has no end; the rest was not read.',
    'Find out what answers there; where objects really are so large, raise --max-answer-size of the controller.',
  ),
  KUBE_ANSWER_TOO_SLOW: entry(
    'An answer of the API server began, but did not end in time.',
    'Check the line to the API server; where it is that slow, raise --max-answer-time of the controller.',
  ),
  KUBE_API_ERROR: entry(
    'The API server refused a request or failed; the message is its own.',
    'Read the message; what can be tried again is tried again.',
  ),
  KUBE_CONFLICT: entry(
    'An object had been changed or made by somebody else in between.',
    'Nothing: it is read again and decided anew.',
  ),
  KUBE_FORBIDDEN: entry(
    'The API server refuses what this account asks for.',
    'Grant the named verb and resource to the account; the chart (charts/linkspan) lists what each process needs.',
  ),
  KUBE_GARBLED: entry(
    'What answered is not an API server, or the answer was cut short.',
    'Check the server address of the kubeconfig and what stands in between.',
  ),
  KUBE_NOT_FOUND: entry(
    'The object, or its whole kind, does not exist on that API server.',
    'Create it; for a missing kind apply the CustomResourceDefinitions (`kubectl apply -f crds/`).',
  ),
  KUBE_TIMEOUT: entry(
    'An API server accepted the connection and did not answer in time.',
    'Check the API server and the network between; it is tried again.',
  ),
  KUBE_UNAUTHORIZED: entry(
    'The API server does not accept the credentials.',
    'Renew them; for a Link, run `linkspan link-gen` again and apply its output.',
  ),
  KUBE_UNREACHABLE: entry(
    'No connection to an API server.',
    'Check the address, the network and the certificate authority of the kubeconfig; it is tried again.',
  ),
  KUBE_WATCH_BROKEN: entry(
    'A watch ended in a way it should not; what is known is kept and the watch is begun again.',
    'Nothing, unless it repeats: then look at what stands between this process and the API server.',
  ),
  PEER_OVER_BUDGET: entry(
    'A linked cluster makes the controller hold more than one cluster may; the Link is parked and what it has made stays.',
    'Export less, or raise the named --max-… of the controller together with its memory.',
  ),
  MANIFEST_INVALID: entry(
    'A text that should hold Kubernetes objects is not YAML, or something in it is no object.',
    'Correct the named document.',
  ),
  RIGHTS_MISSING: entry(
    'The user of the kubeconfig may not do something that the command needs. Nothing was written.',
    'Use a context of an administrator, or ask one for the named rights.',
  ),

  // link
  ACCOUNT_RIGHTS_MISSING: entry(
    'The service account that the source cluster should use may not do what mirroring needs.',
    'Grant it what `linkspan allow` prints (the chart does for its own account), or name another with --service-account-name.',
  ),
  API_SERVER_ADDRESS_LOCAL: entry(
    "The kubeconfig's address of the API server means something else, or nothing, in pods of another cluster.",
    'Give --api-server-address with a URL that the source cluster reaches (kind: https://<node IP>:6443).',
  ),
  CLUSTER_NAME_TAKEN: entry(
    'A name that should stand for one cluster stands for another already.',
    'Choose another --cluster-name; if the cluster was rebuilt, give --rebuilt; if it is gone, `linkspan unlink` it first.',
  ),
  CREDENTIALS_INVALID: entry(
    'The Secret that a Link names holds no usable kubeconfig.',
    'Make it anew with `linkspan link-gen` and apply it; it is picked up without a restart.',
  ),
  CREDENTIALS_MISSING: entry(
    'The Secret that a Link names does not exist, is not of type mirror.linkerd.io/remote-kubeconfig, or the controller may not read it.',
    'Apply the Secret that `linkspan link-gen` prints together with the Link; it is picked up without a restart. If it is there: see its type (`kubectl get secret NAME`), which cannot be changed, so delete one of another type and make it anew; the signer (`linkspan signer`) gives the controller the right to it, so see whether that is ready.',
  ),
  FOREIGN_OBJECT: entry(
    'An object of the name that is wanted belongs to somebody else; it is left alone.',
    'Remove it or choose another name; --force takes over a Link that was written by hand.',
  ),
  GATEWAY_INCOMPLETE: entry(
    'The gateway Service of the target cluster lacks something that a Link needs: an address, a named port, an annotation.',
    'Wait for its load balancer, give --gateway-addresses, or install the gateway with its chart.',
  ),
  GATEWAY_NOT_FOUND: entry(
    'There is no gateway Service in the target cluster.',
    'Install the gateway there, name it with --gateway-name and --gateway-namespace, or give --no-gateway.',
  ),
  LINKERD_CONFIG_INVALID: entry(
    "Linkerd's configuration in the target cluster (ConfigMap linkerd-config) does not say its domains.",
    'Repair it with `linkerd upgrade`, or name the right namespace with --linkerd-namespace.',
  ),
  LINK_CRD_MISSING: entry(
    'The cluster does not know Links.',
    'Install Linkspan there with `linkspan install`, or only the definitions with `linkspan install --crds`.',
  ),
  LINK_DUPLICATE: entry(
    'Two Links name the same target cluster; only the older one is used.',
    'Delete one of the two Links.',
  ),
  LINK_INVALID: entry(
    'A field of a Link is wrong; nothing of that Link is changed until it is corrected.',
    'Correct the named field, or make the Link anew with `linkspan link-gen`.',
  ),
  LINK_NOT_FOUND: entry(
    'There is no such Link, and nothing is left of one.',
    'Check --cluster-name and --namespace, and that --context is the source cluster.',
  ),
  LINK_NOT_SYNCED: entry(
    'The Link was applied, but its mirrors were not complete in time.',
    'Follow the reason in the message (docs/reference/reasons.md); `linkspan check` in the source cluster says more. Nothing needs to be applied again.',
  ),
  LINK_TO_ITSELF: entry(
    'The source and the target of a Link are one and the same cluster.',
    'Name two clusters: --context is the target, --source-context the source.',
  ),
  NAMESPACE_MISSING: entry(
    'A namespace that the objects go into does not exist.',
    'Install Linkspan there with `linkspan install`, or name the right one with --namespace.',
  ),
  NOT_EXPORTABLE: entry(
    'A Service is of a kind that no source cluster could mirror; nothing was labelled.',
    'Export a Service with a TCP port and endpoints of its own.',
  ),
  SERVICE_ACCOUNT_EXISTS: entry(
    'The account that should be made exists already, or its name is taken.',
    'Choose another --service-account-name: each consumer has its own; --ignore-cluster prints anyway.',
  ),
  SERVICE_ACCOUNT_MISSING: entry(
    'The service account that the source cluster should use does not exist in the target cluster.',
    'Install Linkspan there, make the account with `linkspan allow`, or name another with --service-account-name.',
  ),
  SERVICE_ACCOUNT_TOKEN_MISSING: entry(
    'The service account that the source cluster should use has no token Secret, or an empty one.',
    'Create a Secret of type kubernetes.io/service-account-token for it (the chart and `linkspan allow` do), try again when it is filled, or give --token-ttl.',
  ),
  SERVICE_NOT_FOUND: entry(
    'A Service that should be exported does not exist; nothing was labelled.',
    'Check its name and --namespace, and that --context is the target cluster.',
  ),
  TAP_REFUSED: entry(
    'Nobody who could be asked shows requests: you have no right to, or the installation has none that do.',
    'Be bound to the ClusterRole linkspan-tap-user in the namespace of the installation (`tap.enabled` of the chart makes it), and where you come with an account of your own (--tap-account) bind that to the ClusterRole linkspan-tap in the namespaces to look into.',
  ),
  TOKEN_REFUSED: entry(
    'The target cluster refuses a token of limited life for the account.',
    'Let the account `create` serviceaccounts/token for itself, as `linkspan allow --token-ttl` prints it.',
  ),
  UNLINK_INCOMPLETE: entry(
    'A Link is deleted, but what it made is still there; its Secrets are kept.',
    'Check that the controller runs in the source cluster, then unlink again: it goes on where it stopped.',
  ),
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;
