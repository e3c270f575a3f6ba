import { MANAGED_BY_CLI } from '../api/installed-labels.ts';
import { EXTENSION_LABELS, PART_OF, PART_OF_LABEL } from '../api/names.ts';
import { parseManifests } from '../manifests/manifests.ts';
import type { KubeObject } from '../api/kubernetes/resource.ts';
import { CHART, CRD_CHART, RELEASE } from './charts.ts';
import { POD_SECURITY } from './install-facts.ts';
import { stringify } from 'yaml';
import { type Helm, withNearestKeys } from './helm.ts';
import { defaultValues, joinValues, keysOf, overridesSecret, type Values } from './values.ts';

export interface RenderRequest {
  readonly helm: Helm;
  readonly namespace: string;
  /** The cluster's Kubernetes version (helm's `--kube-version`). */
  readonly kubernetes: string;
  /**
   * Kinds that the cluster serves, of those that the chart uses only where they exist (helm's
   * `--api-versions`).
   */
  readonly apiVersions?: readonly string[];
  /** Values that are stored for `upgrade`. */
  readonly values: Values;
  /** Values for this rendering only: the issuer. */
  readonly once: Values;
  readonly version: string;
  /**
   * Pod Security Standard that the namespace enforces already; default `restricted`, which Linkspan's pods
   * meet.
   */
  readonly podSecurity: string | undefined;
}

/**
 * Everything that is installed: the Namespace, the CRD, what the chart makes, and the Secret with the values.
 * @throws LinkspanError VALUES_INVALID, KUBERNETES_TOO_OLD, CHART_FAILED, HELM_MISSING
 */
export async function renderAll(request: RenderRequest): Promise<KubeObject[]> {
  const { namespace, values, version, podSecurity } = request;
  const [crds, chart] = await Promise.all([renderCrds(request), renderChart(request)]);
  return [
    namespaceObject(namespace, podSecurity),
    ...crds,
    ...chart,
    overridesSecret(values, namespace, version),
  ];
}

/** The CRD alone, for clusters where CRDs are installed separately. */
export async function renderCrds(
  request: Pick<RenderRequest, 'helm' | 'namespace' | 'kubernetes'>,
): Promise<KubeObject[]> {
  return template(request, CRD_CHART, {});
}

async function renderChart(request: RenderRequest): Promise<KubeObject[]> {
  const values = joinValues(request.values, request.once);
  try {
    return (await template(request, CHART, values)).map(relabelled);
  } catch (error) {
    throw withNearestKeys(error, keysOf(await defaultValues()));
  }
}

async function template(
  request: Pick<RenderRequest, 'helm' | 'namespace' | 'kubernetes' | 'apiVersions'>,
  chart: string,
  values: Values,
): Promise<KubeObject[]> {
  const { helm, namespace, kubernetes, apiVersions = [] } = request;
  // Hooks run only in Helm; `install` does their work itself.
  const args = ['template', RELEASE, chart, '-n', namespace, '--kube-version', kubernetes, '--no-hooks'];
  const served = apiVersions.flatMap((kind) => ['--api-versions', kind]);
  return parseManifests(await helm.run([...args, ...served, '-f', '-'], stringify(values)), 'the chart');
}

/** Changes the label managed-by: Helm has rendered the object, but does not manage it. */
function relabelled(object: KubeObject): KubeObject {
  const { metadata = {} } = object;
  const labels = { ...metadata.labels, ...MANAGED_BY_CLI };
  return { ...object, metadata: { ...metadata, labels } };
}

/**
 * The extension's namespace, with the label by which Linkerd's CLI finds it. Linkspan's pods meet the
 * restricted Pod Security Standard.
 */
export function namespaceObject(name: string, podSecurity = 'restricted'): KubeObject {
  const labels = {
    ...EXTENSION_LABELS,
    [PART_OF_LABEL]: PART_OF,
    [POD_SECURITY]: podSecurity,
  };
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}
