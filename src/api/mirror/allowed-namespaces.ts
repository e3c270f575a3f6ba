import { isDnsLabel, listItems } from '../../base/text.ts';
import { type Annotations, readAnnotation } from '../annotations.ts';
import { ALLOWED_NAMESPACES } from '../names.ts';

/** Longest value that is read, in characters; a longer one lets in nobody else. */
const MAX_LIST = 4096;
/** Stands for every namespace. */
export const ALL_NAMESPACES = '*';

/** The namespaces whose pods may use a mirror, as an annotation gives them. */
export interface AllowedNamespaces {
  /** Undefined: nothing is said. */
  readonly namespaces?: readonly string[];
  /** What is wrong with it, one line each. */
  readonly problems: readonly string[];
}

/** The text of `linkspan.dev/allowed-namespaces`, of a mirror or a Namespace. */
export function allowedNamespacesText(annotations: Annotations | undefined): string | undefined {
  return readAnnotation(annotations, ALLOWED_NAMESPACES);
}

/** The annotation with that text. */
export function allowedNamespacesAnnotation(text: string): Record<string, string> {
  return { [ALLOWED_NAMESPACES]: text };
}

/**
 * Reads that text. A wrong entry lets nobody in, so that a slip never opens anything. Pure.
 */
export function readAllowedNamespaces(text: string | undefined): AllowedNamespaces {
  if (text === undefined) return { problems: [] };
  if (text.length > MAX_LIST)
    return {
      namespaces: [],
      problems: [`${ALLOWED_NAMESPACES}: longer than ${MAX_LIST} characters, it lets in nobody else`],
    };
  const entries = listItems(text);
  const good = (entry: string) => entry === ALL_NAMESPACES || isDnsLabel(entry);
  const wrong = entries.find((entry) => !good(entry));
  return {
    namespaces: [...new Set(entries.filter(good))],
    problems: wrong === undefined ? [] : [leftOut(wrong)],
  };
}

function leftOut(entry: string): string {
  return `${ALLOWED_NAMESPACES}: "${entry.slice(0, 64)}" is no namespace; what is none lets nobody in`;
}
