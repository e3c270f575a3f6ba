import { signal } from '@preact/signals';
import { html } from './markup.ts';

/** What readers of screens are told, politely: one sentence at a time. */
const spoken = signal('');

/** Says something without moving the focus. The same sentence again is said again. */
export function announce(text: string): void {
  spoken.value = spoken.value === text ? `${text}\u00a0` : text;
}

/** Where it is said. There is one of it. */
export function LiveRegion() {
  return html`<div class="hidden-text" role="status" aria-live="polite">${spoken.value}</div>`;
}
