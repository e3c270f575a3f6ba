import { MCS_GROUP } from '../../api/names.ts';
import type { KeyTest } from '../../api/mirror/mirror-metadata.ts';

/**
 * Domains of labels and annotations by which a Service gives orders to other software in its cluster. Copied
 * onto a mirror, another cluster could by them make DNS records, certificates, load balancers and addresses
 * here, take the mirror away from kube-proxy, or have a GitOps tool or a package manager take it for its own.
 * A domain stands for its subdomains too. The groups say what is steered; docs/reference/mirrors.md has the
 * same list, and a test compares them.
 */
export const STEERING_DOMAINS: Readonly<Record<string, readonly string[]>> = {
  'DNS records': [
    'external-dns.alpha.kubernetes.io',
    'external-dns.kubernetes.io',
    'dns.alpha.kubernetes.io',
  ],
  certificates: [
    'cert-manager.io',
    'certmanager.k8s.io',
    'service.beta.openshift.io',
    'service.alpha.openshift.io',
  ],
  'kube-proxy, cloud load balancers': [
    'service.kubernetes.io',
    'service.beta.kubernetes.io',
    'service.alpha.kubernetes.io',
    'service.cloud.tencent.com',
    'endpoints.kubernetes.io',
    'endpointslice.kubernetes.io',
    'cloud.google.com',
    'networking.gke.io',
    'k8s.aws',
    'eks.amazonaws.com',
    'azure.com',
    'oraclecloud.com',
    'kubernetes.digitalocean.com',
    'load-balancer.hetzner.cloud',
    'loadbalancer.openstack.org',
    'k8s.linode.com',
    'vmware.com',
    'f5.com',
    'citrix.com',
  ],
  'addresses of bare-metal clusters': [
    'metallb.io',
    'metallb.universe.tf',
    'kube-vip.io',
    'purelb.io',
    'loxilb.io',
    'kubesphere.io',
  ],
  CNIs: [
    'cilium.io',
    'io.cilium',
    'projectcalico.org',
    'antrea.io',
    'k8s.ovn.org',
    'ovn.kubernetes.io',
    'kube-router.io',
  ],
  'ingress controllers and gateways': [
    'ingress.kubernetes.io',
    'kubernetes.io',
    'gateway.networking.k8s.io',
    'gateway.envoyproxy.io',
    'nginx.org',
    'nginx.com',
    'haproxy.org',
    'haproxy.com',
    'haproxy-ingress.github.io',
    'traefik.io',
    'traefik.containo.us',
    'konghq.com',
    'getambassador.io',
    'projectcontour.io',
    'contour.heptio.com',
    'apisix.apache.org',
    'solo.io',
    'zalando.org',
    'route.openshift.io',
    'router.openshift.io',
    'pomerium.io',
    'ngrok.com',
    'tailscale.com',
    'netbird.io',
    'teleport.dev',
  ],
  'meshes and other multicluster software': [
    'istio.io',
    'consul.hashicorp.com',
    'kuma.io',
    'openservicemesh.io',
    'multicluster.kubernetes.io',
    MCS_GROUP,
    'submariner.io',
    'skupper.io',
    'knative.dev',
  ],
  'GitOps and package managers': [
    'argoproj.io',
    'fluxcd.io',
    'helm.sh',
    'cattle.io',
    'k14s.io',
    'kpt.dev',
    'kpack.io',
    'crossplane.io',
    'pulumi.com',
    'operators.coreos.com',
    'configmanagement.gke.io',
    'configsync.gke.io',
    'config.k8s.io',
    'cli-utils.sigs.k8s.io',
    'applyset.kubernetes.io',
    'kubectl.kubernetes.io',
  ],
  'addon managers, and what deletes or saves by label': [
    'addonmanager.kubernetes.io',
    'addons.k8s.io',
    'kops.k8s.io',
    'kyverno.io',
    'velero.io',
    'janitor',
  ],
};

/**
 * Single keys of domains that are harmless otherwise: by these Helm and Argo CD tell which objects are
 * theirs.
 */
export const STEERING_KEYS: readonly string[] = [
  'app.kubernetes.io/managed-by',
  'app.kubernetes.io/instance',
];

/**
 * Domains that do not stand for their subdomains: below `kubernetes.io` are `app.kubernetes.io` and others
 * that only describe.
 */
const WITHOUT_SUBDOMAINS: ReadonlySet<string> = new Set(['kubernetes.io']);

const domains = new Set(Object.values(STEERING_DOMAINS).flat());
const keys = new Set(STEERING_KEYS);

/**
 * Whether a label or annotation gives orders to other software in its cluster (`STEERING_DOMAINS`). Costs a
 * step for each dot of the key's domain.
 */
export const isSteering: KeyTest = (key) => {
  const slash = key.indexOf('/');
  if (slash <= 0) return false;
  if (keys.has(key)) return true;
  const group = key.slice(0, slash).toLowerCase();
  if (domains.has(group)) return true;
  for (let dot = group.indexOf('.'); dot >= 0; dot = group.indexOf('.', dot + 1)) {
    const parent = group.slice(dot + 1);
    if (domains.has(parent) && !WITHOUT_SUBDOMAINS.has(parent)) return true;
  }
  return false;
};
