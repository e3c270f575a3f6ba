import type { V1Deployment } from '@kubernetes/client-node';
import { LinkspanError } from '../api/errors/linkspan-error.ts';
import { CLI_MANAGER } from '../api/names.ts';
import { applyAll } from '../manifests/apply.ts';
import { isForbidden, KubeApiError, type KubeClient } from '../kube/client/kube-client.ts';
import { refOf, titleOf } from '../manifests/manifests.ts';
import { type KubeObject, pods } from '../api/kubernetes/resource.ts';
import { type InstallRequest, prepare } from './prepare-install.ts';

/**
 * Does what `install --apply` does, up to where it would write: everything is rendered and shown to the API
 * server in a dry run. The pods of the Deployments are shown to it too, because it looks at a Deployment
 * without asking what its pods may (Pod Security, quotas): they would be missing later, without a word.
 * @returns what an installation would be refused for, and what the API server warned about
 */
export async function dryRunInstall(
  client: KubeClient,
  request: InstallRequest,
): Promise<{ error: Error | undefined; warnings: string[]; refusedPods: string[] }> {
  const warnings: string[] = [];
  const refusedPods: string[] = [];
  try {
    const { objects } = await prepare(client, request);
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

/** Why the API server would not take the pods of a Deployment; empty for anything else. */
async function refusedPod(client: KubeClient, object: KubeObject): Promise<string[]> {
  if (object.kind !== 'Deployment') return [];
  const pod = podOf(object as V1Deployment);
  try {
    const how = { type: 'apply', fieldManager: CLI_MANAGER, dryRun: true } as const;
    await client.patch(pods, refOf(pod), pod, how);
    return [];
  } catch (error) {
    // A namespace that is not there has no rules.
    return isRefusal(error) ? [`* pods of ${titleOf(object)}: ${error.answer}`] : [];
  }
}

/**
 * A user who may not make pods, or a namespace so new that it has no account, is not told what the rules say
 * of them.
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
    // Its account may not be there yet, which is no reason.
    spec: { ...podSpec, serviceAccountName: 'default' },
  } as KubeObject;
}
