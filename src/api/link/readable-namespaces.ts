import { listItems } from '../../base/text.ts';
import { type Annotations, readAnnotation } from '../annotations.ts';
import { READABLE_NAMESPACES } from '../names.ts';

/**
 * Where in a target an account may look, as the account and the Links that use it say it by annotation:
 * written and read here alone. Undefined is everywhere.
 */

/** The annotation that says it; none where it is everywhere. */
export function readableNamespacesAnnotation(
  namespaces: readonly string[] | undefined,
): Record<string, string> {
  return namespaces === undefined ? {} : { [READABLE_NAMESPACES]: namespaces.join(',') };
}

/** The namespaces that an account's or a Link's annotation names. Not checked; each once. */
export function readableNamespaces(annotations: Annotations | undefined): string[] | undefined {
  const named = readAnnotation(annotations, READABLE_NAMESPACES);
  return named === undefined ? undefined : [...new Set(listItems(named))];
}

/** Annotations without it. */
export function withoutReadableNamespaces(annotations: Annotations | undefined): Record<string, string> {
  const { [READABLE_NAMESPACES]: _, ...rest } = annotations ?? {};
  return rest;
}
