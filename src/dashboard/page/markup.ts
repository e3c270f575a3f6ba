import { html as template } from 'htm/preact';
import type { ComponentChildren, VNode } from 'preact';

/** What a part of the page may be made of. */
export type Content = ComponentChildren;

/** Markup as a template: values become text or attributes, never markup. */
export const html: (strings: TemplateStringsArray, ...values: unknown[]) => VNode = template;

/** Class names, without those that are not wanted. */
export function classes(...names: readonly (string | false | undefined)[]): string {
  return names.filter(Boolean).join(' ');
}
