import type { V1LabelSelector } from '@kubernetes/client-node';

/**
 * Whether a Kubernetes label selector matches these labels; an empty one matches everything. Pure.
 * @param unclear result for an unknown operator: the one that restricts more
 */
export function matchesSelector(
  selector: V1LabelSelector,
  labels: Readonly<Record<string, string>> | undefined,
  unclear: boolean,
): boolean {
  const all = labels ?? {};
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (all[key] !== value) return false;
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = all[key];
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return unclear;
    }
  });
}
