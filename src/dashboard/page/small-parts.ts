import { useState } from 'preact/hooks';
import type { ToldVerdict } from '../../traffic/traffic-verdict.ts';
import { announce } from './announcements.ts';
import { age, codeParts, commandsOf } from './format.ts';
import { type Content, html } from './markup.ts';
import { pageHref } from './page-routes.ts';
import { now } from './page-store.ts';
import { Mark } from './status-mark.ts';

/** Small parts that several pages are made of. */

/** Copies a command, and says that it has. */
export function CopyButton({ text, what = 'command' }: { readonly text: string; readonly what?: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      announce(`Copied: ${text}`);
      setTimeout(() => setDone(false), 2000);
    } catch {
      announce('The browser does not let the page copy: select the text and copy it.');
    }
  };
  return html`<button type="button" class="copy" onClick=${copy} aria-label=${`Copy ${what}: ${text}`}>
    <svg viewBox="0 0 16 16" aria-hidden="true">
      ${done ? html`<path d="M3 8.5 6.5 12 13 4.5" />` : html`<path d="M5.5 5.5h8v8h-8zM3.5 10.5h-1v-8h8v1" />`}
    </svg>
    <span>${done ? 'Copied' : 'Copy'}</span>
  </button>`;
}

/** A command on a line of its own, to be copied. */
export function Command({ text }: { readonly text: string }) {
  return html`<div class="command"><code>${text}</code><${CopyButton} text=${text} /></div>`;
}

/** Text of ours, where what stands between backticks is code. */
export function Prose({ text }: { readonly text: string }) {
  return html`${codeParts(text).map(({ code, text: part }) => (code ? html`<code>${part}</code>` : part))}`;
}

/** Text of others: it may be of any length and direction, and stays in its own. */
export function Foreign({ text }: { readonly text: string }) {
  return html`<bdi class="foreign" dir="auto">${text}</bdi>`;
}

/** What to do, and the command that does it. @param command empty: those that the text names */
export function Advice({ text, command = '' }: { readonly text: string; readonly command?: string }) {
  const commands = command === '' ? commandsOf(text).filter(isWhole) : [command];
  return html`${text === '' ? '' : html`<p class="advice"><${Prose} text=${text} /></p>`}
    ${commands.map((one) => html`<${Command} key=${one} text=${one} />`)}`;
}

/** With a word in capitals in it a command has to be completed first. */
function isWhole(command: string): boolean {
  return command !== '' && !command.split(' ').some((word) => /^[A-Z]{2,}$/.test(word));
}

/** A reason constant or a kind of failure, with the way to what it means. */
export function Reason({ reason }: { readonly reason: string }) {
  if (reason === '') return html`<span class="none">–</span>`;
  return html`<a class="reason" href=${pageHref('reasons', [], { word: reason })}>${reason}</a>`;
}

/** How long ago, by the clock of the program that the page is from. @param at milliseconds */
export function Ago({ at, suffix = 'ago' }: { readonly at: number; readonly suffix?: string }) {
  return html`<time datetime=${new Date(at).toISOString()}>${age((now.value - at) / 1000)} ${suffix}</time>`;
}

/** What is wrong with what a page is about, and what to do; nothing where nothing is. */
export function Trouble({ of }: { readonly of: ToldVerdict }) {
  const { failing, reason, message, advice } = of;
  if (!failing) return '';
  return html`<section class="notice bad" aria-label="What is wrong">
    <${Mark} tone="bad" />
    <div>
      <p><strong><${Reason} reason=${reason} /></strong> <${Foreign} text=${message} /></p>
      <${Advice} text=${advice} />
    </div>
  </section>`;
}

/** Names and what they are, in two columns. */
export function Facts({ facts }: { readonly facts: readonly (readonly [string, Content])[] }) {
  return html`<dl class="facts">
    ${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

interface PanelProps {
  readonly title: string;
  readonly note?: Content;
  readonly children?: Content;
}

/** A part of a page with a heading. */
export function Panel({ title, note, children }: PanelProps) {
  const id = `panel-${title.toLowerCase().replaceAll(/[^a-z]+/g, '-')}`;
  return html`<section class="panel" aria-labelledby=${id}>
    <header><h2 id=${id}>${title}</h2>${note === undefined ? '' : html`<p>${note}</p>`}</header>
    ${children}
  </section>`;
}

/** Where there is nothing to show: why, and what to do. */
export function Nothing({ title, children }: { readonly title: string; readonly children?: Content }) {
  return html`<div class="nothing"><p class="nothing-title">${title}</p>${children}</div>`;
}
