import { html as template } from 'htm/preact';
import type { ComponentChildren, VNode } from 'preact';

/** What a part of the page may be made of. */
export type Content = ComponentChildren;

/** Markup as a template: values become text or attributes, never markup. */
export const html: (strings: TemplateStringsArray, ...values: unknown[]) => VNode = template;

/** More are not kept: names come and go. */
const MOST_KEPT = 5000;

/**
 * Remembers elements by what they are made of. What is the same element as before is not compared again, so
 * that a table pays for the cells that have changed.
 */
export function kept(make: (...words: string[]) => VNode): (...words: string[]) => VNode {
  const known = new Map<string, VNode>();
  return (...words) => {
    const key = words.join('\n');
    const found = known.get(key);
    if (found !== undefined) return found;
    if (known.size >= MOST_KEPT) known.clear();
    const made = make(...words);
    known.set(key, made);
    return made;
  };
}

/** Class names, without those that are not wanted. */
export function classes(...names: readonly (string | false | undefined)[]): string {
  return names.filter(Boolean).join(' ');
}
