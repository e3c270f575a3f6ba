import type { V1LabelSelector } from '@kubernetes/client-node';

/**
 * Whether a selector of Kubernetes selects these labels; an empty one selects everything. Pure.
 * @param unclear what an operator that is not known comes to: whichever restricts
 */
export function selects(
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
