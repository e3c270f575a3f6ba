import { classes, html } from './markup.ts';
import type { Said, Tone } from './tones.ts';

/** One shape for each tone: it can be told without colour. */
const SHAPES: Readonly<Record<Tone, () => unknown>> = {
  good: () =>
    html`<circle cx="8" cy="8" r="6.5" class="fill" /><path d="M5 8.2 7.2 10.4 11 6" class="cut" />`,
  bad: () =>
    html`<path d="M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3L1.5 10.7V5.3z" class="fill" /><path
        d="M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8"
        class="cut"
      />`,
  warn: () => html`<path d="M8 1.6 15 14H1z" class="fill" /><path d="M8 6.2v3.6M8 11.8v.2" class="cut" />`,
  idle: () => html`<circle cx="8" cy="8" r="5.5" class="ring" />`,
  stale: () =>
    html`<circle cx="8" cy="8" r="5.8" class="ring dashed" /><path d="M8 4.8V8l2.2 1.6" class="ring" />`,
};

/** The shape alone; whoever uses it says the word beside it. */
export function Mark({ tone }: { readonly tone: Tone }) {
  return html`<svg class=${`mark ${tone}`} viewBox="0 0 16 16" aria-hidden="true">${SHAPES[tone]()}</svg>`;
}

/** Shape and word. @param word in place of the one of the state */
export function Status({ said, word }: { readonly said: Said; readonly word?: string }) {
  return html`<span class=${classes('status', said.tone)}><${Mark} tone=${said.tone} />${word ?? said.word}</span>`;
}
