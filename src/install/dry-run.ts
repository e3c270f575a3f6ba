import type { V1Deployment } from '@kubernetes/client-node';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { CLI_MANAGER } from '../api/names.ts';
import { applyAll } from '../manifests/apply.ts';
import { isForbidden, KubeApiError, type KubeClient } from '../kube/client/kube-client.ts';
import { refOf, titleOf } from '../manifests/manifests.ts';
import { type KubeObject, pods } from '../api/kubernetes/resource.ts';
import { type InstallRequest, prepareInstall } from './prepare-install.ts';

/**
 * Does what `install --apply` does without writing: everything is rendered and validated by the API server in
 * a dry run. The Deployments' pods are validated too, because admission of a Deployment does not check its
 * pods (Pod Security, quotas), and they would be missing later without an error.
 * @returns what an installation would be refused for, and what the API server warned about
 */
export async function dryRunInstall(
  client: KubeClient,
  request: InstallRequest,
): Promise<{ error: Error | undefined; warnings: string[]; refusedPods: string[] }> {
  const warnings: string[] = [];
  const refusedPods: string[] = [];
  try {
    const { objects } = await prepareInstall(client, request);
    const onWarning = (text: string) => void warnings.push(text);
    await applyAll(client, objects, { fieldManager: CLI_MANAGER, dryRun: true, onWarning });
    const answers = await Promise.all(objects.map((object) => refusedPod(client, object)));
    refusedPods.push(...answers.flat());
    return { error: undefined, warnings, refusedPods };
  } catch (error) {
    if (!(error instanceof LinkspanError)) throw error;
    return { error, warnings, refusedPods };
  }
}

/** Why the API server would refuse a Deployment's pods; empty for other objects. */
async function refusedPod(client: KubeClient, object: KubeObject): Promise<string[]> {
  if (object.kind !== 'Deployment') return [];
  const pod = podOf(object as V1Deployment);
  try {
    const how = { type: 'apply', fieldManager: CLI_MANAGER, dryRun: true } as const;
    await client.patch(pods, refOf(pod), pod, how);
    return [];
  } catch (error) {
    // Other failures say nothing about the pods, such as those of a namespace that does not exist.
    return isRefusal(error) ? [`* pods of ${titleOf(object)}: ${error.answer}`] : [];
  }
}

/**
 * Whether an error is a refusal of the pods by admission: not one because the user may not create pods, or
 * the new namespace has no service account yet.
 */
function isRefusal(error: unknown): error is KubeApiError {
  if (!(error instanceof KubeApiError) || !isForbidden(error)) return false;
  return !/cannot (create|patch) |error looking up service account/.test(error.answer);
}

function podOf({ metadata, spec }: V1Deployment): KubeObject {
  const { metadata: templated, spec: podSpec } = spec?.template ?? {};
  const { namespace = '', name = '' } = metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name: `${name}-trial`, labels: templated?.labels ?? {} },
    // Its own service account may not exist yet, which would be refused for the wrong reason.
    spec: { ...podSpec, serviceAccountName: 'default' },
  } as KubeObject;
}
