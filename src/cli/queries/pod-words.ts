import { messageOf } from '../../api/errors/linkspan-error.ts';
import { KubeApiError } from '../../kube/client/kube-client.ts';

/**
 * Why a pod does not say what it was asked: in its own words where it has refused, without the path that it
 * was asked by.
 * @param absent what it is where it has no such page
 */
export function podWords(error: unknown, absent: string): string {
  if (error instanceof Error && error.name === 'TimeoutError') return 'no answer in time';
  // With Status objects the API server refuses, not the pod.
  if (!(error instanceof KubeApiError) || error.reason !== '') return messageOf(error);
  if (error.status === 404) return `it has no such page: ${absent}`;
  return error.answer.trim() || messageOf(error);
}
