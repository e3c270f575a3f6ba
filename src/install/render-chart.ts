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
  /** Of the cluster, for what the chart makes dependent on it. */
  readonly kubernetes: string;
  /** Kinds that it serves, of those that the chart uses only where they are. */
  readonly apiVersions?: readonly string[];
  /** Values that `upgrade` finds again. */
  readonly values: Values;
  /** Values for this time only: the issuer. */
  readonly once: Values;
  readonly version: string;
  /** What the namespace enforces already; Linkspan's pods meet the strictest. */
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

/** The CRD alone, for clusters whose CRDs somebody else keeps. */
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
  // Hooks are Helm's: what they do, `install` does itself.
  const args = ['template', RELEASE, chart, '-n', namespace, '--kube-version', kubernetes, '--no-hooks'];
  const served = apiVersions.flatMap((kind) => ['--api-versions', kind]);
  return parseManifests(await helm.run([...args, ...served, '-f', '-'], stringify(values)), 'the chart');
}

/** `Helm` manages what Helm has installed; this it has only printed. */
function relabelled(object: KubeObject): KubeObject {
  const { metadata = {} } = object;
  const labels = { ...metadata.labels, ...MANAGED_BY_CLI };
  return { ...object, metadata: { ...metadata, labels } };
}

/**
 * The extension's namespace: Linkerd's CLI finds it by its label, and its pods pass the restricted Pod
 * Security Standard.
 */
export function namespaceObject(name: string, podSecurity = 'restricted'): KubeObject {
  const labels = {
    ...EXTENSION_LABELS,
    [PART_OF_LABEL]: PART_OF,
    [POD_SECURITY]: podSecurity,
  };
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}
