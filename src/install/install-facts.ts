import type { V1Namespace, V1Secret } from '@kubernetes/client-node';
import { readAnnotation } from '../api/annotations.ts';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { HELM_RELEASE_NAME, OURS } from '../api/names.ts';
import { isForbidden, type KubeClient, orUndefined } from '../kube/client/kube-client.ts';
import { deployments, namespaces, secrets } from '../api/kubernetes/resource.ts';
import { resourcesOf } from '../kube/client/served-kinds.ts';
import { readLinkerd } from '../linking/link-gen.ts';
import { storedValues, OVERRIDES_SECRET, type Values } from './values.ts';

/** What was read from a cluster about its installation. */
export interface InstallFacts {
  /** Of the API server, `1.34.1`. */
  readonly kubernetes: string;
  /** Kinds that the chart uses where they are served, `group/version/Kind`. */
  readonly apiVersions: readonly string[];
  /** Values of the last install or upgrade; undefined where there was none. */
  readonly stored: Values | undefined;
  /** Name of a Helm release that has installed Linkspan here; undefined: there is none. */
  readonly helmRelease: string | undefined;
  /** Whether a Deployment of Linkspan exists. */
  readonly deployed: boolean;
  /**
   * The Pod Security Standard that the namespace enforces now, if any; it is kept, as other pods in the
   * namespace may need it.
   */
  readonly podSecurity: string | undefined;
  /** Undefined where Linkerd's control plane is not installed. */
  readonly linkerd: { readonly clusterDomain: string; readonly trustDomain: string } | undefined;
}

const ADMISSION = 'admissionregistration.k8s.io/v1';
const ADMISSION_POLICY = 'ValidatingAdmissionPolicy';

/** Label of a namespace: the Pod Security Standard that its pods must meet. */
export const POD_SECURITY = 'pod-security.kubernetes.io/enforce';
/**
 * Reads the facts.
 * @throws LinkspanError RIGHTS_MISSING when the user may not read them; VALUES_INVALID,
 * LINKERD_CONFIG_INVALID; or what the client throws (KUBE_UNREACHABLE, …)
 */
export async function readInstallation(
  client: KubeClient,
  namespace: string,
  linkerdNamespace: string,
): Promise<InstallFacts> {
  const { gitVersion } = (await client.raw('GET', '/version')) as { gitVersion: string };
  try {
    const [home, overrides, { items }, linkerd, admission] = await Promise.all([
      namespaceOf(client, namespace),
      secretOf(client, namespace, OVERRIDES_SECRET),
      client.list(deployments, { namespace, labelSelector: OURS }),
      readLinkerd(client, linkerdNamespace),
      resourcesOf(client, ADMISSION),
    ]);
    return {
      kubernetes: gitVersion.replace(/^v/, ''),
      apiVersions: admission.has(ADMISSION_POLICY) ? [`${ADMISSION}/${ADMISSION_POLICY}`] : [],
      stored: overrides === undefined ? undefined : storedValues(overrides),
      helmRelease: items
        .map(({ metadata }) => readAnnotation(metadata?.annotations, HELM_RELEASE_NAME))
        .find((release) => release !== undefined),
      deployed: items.length > 0,
      podSecurity: home?.metadata?.labels?.[POD_SECURITY],
      linkerd,
    };
  } catch (error) {
    if (!isForbidden(error)) throw error;
    throw new LinkspanError('RIGHTS_MISSING', `you may not see what is installed: ${error.answer}`, {
      cause: error,
      hint: 'Use a context of an administrator, or print manifests without looking at the cluster: --ignore-cluster.',
    });
  }
}

function namespaceOf(client: KubeClient, name: string): Promise<V1Namespace | undefined> {
  return orUndefined(client.get(namespaces, { name }));
}

/** A Secret, or undefined where there is none. */
export function secretOf(client: KubeClient, namespace: string, name: string): Promise<V1Secret | undefined> {
  return orUndefined(client.get(secrets, { namespace, name }));
}
