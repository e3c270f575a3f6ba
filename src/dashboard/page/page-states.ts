import { html, type Content } from './markup.ts';
import { several } from './format.ts';
import { contexts, hasLinks, isLoaded, meta, stateOf } from './page-store.ts';
import { Command, Nothing } from './small-parts.ts';

/** What pages show where there is nothing yet, or nothing at all. */

interface HeadProps {
  readonly title: string;
  readonly note?: Content;
  readonly children?: Content;
}

/** The first lines of a page. The heading takes the focus when somebody arrives. */
export function PageHead({ title, note, children }: HeadProps) {
  return html`<div class="page-head">
    ${children}
    <h1 tabindex="-1"><bdi>${title}</bdi></h1>
    ${note === undefined ? '' : html`<p>${note}</p>`}
  </div>`;
}

/** The shape of what comes: as high as it will be, so that nothing jumps. */
export function Skeleton() {
  return html`<div class="skeletons" aria-busy="true">
    <p class="hidden-text">Asking the clusters …</p>
    <div class="skeleton block"></div>
    <div class="skeleton block tall"></div>
  </div>`;
}

/** Nothing is linked: what to type, in this order. */
export function FirstSteps() {
  const commands = meta.value?.firstCommands ?? [];
  return html`<${Nothing} title="Nothing is linked yet">
    <p>${several(commands.length, 'command')} from here to a Service of another cluster:</p>
    <ol class="steps">${commands.map((text) => html`<li key=${text}><${Command} text=${text} /></li>`)}</ol>
  </${Nothing}>`;
}

/** What a page shows in place of its own until something is known; undefined: it may show what it has. */
export function standIn() {
  if (!isLoaded.value && !hasLinks.value) return html`<${Skeleton} />`;
  const all = contexts.value;
  if (all.length > 0 && all.every((row) => row.at === null && BLIND.has(stateOf(row))))
    return html`<${Nothing} title="No cluster can be seen">
      <p>Above stands what is wrong with each. The page goes on by itself when one answers.</p>
    </${Nothing}>`;
  const heard = all.filter(({ at }) => at !== null);
  if (!hasLinks.value && heard.length === all.length) return html`<${FirstSteps} />`;
  return undefined;
}

const BLIND: ReadonlySet<string> = new Set(['unreachable', 'forbidden']);

/** For a table without rows. */
export function noRows(what: string, isFiltered: boolean) {
  if (isFiltered) return html`<p>No ${what} is so. Take the filter away to see all.</p>`;
  const seconds = Math.round((meta.value?.windowMs ?? 60_000) / 1000);
  const quiet = contexts.value.every(({ traffic }) => !traffic);
  return html`<p>No ${what}.${quiet ? ` No traffic in the last ${seconds} s.` : ''}</p>`;
}
