import { ContextNotices } from './context-notices.ts';
import { GlobalSearch } from './global-search.ts';
import { helpOpen, KeysDialog } from './keyboard.ts';
import { LiveRegion } from './announcements.ts';
import { classes, type Content, html } from './markup.ts';
import { choose, chosen, hrefOfPage, place } from './navigation.ts';
import { Brand, PageIcon } from './page-icons.ts';
import { PAGES, type PageName } from './page-routes.ts';
import { contexts, stateOf, tables } from './page-store.ts';
import { hasText } from './search-match.ts';
import { Mark } from './status-mark.ts';
import { nextTheme, theme } from './theme.ts';
import { installationTone, type Said } from './tones.ts';

/**
 * The frame around every page: whose clusters, which pages there are, and what is wrong with what is shown.
 */
export function Shell({ children }: { readonly children?: Content }) {
  return html`<a class="skip" href="#page">Skip to the page</a>
    <div class="frame">
      <header class="bar">
        <a class="brand" href="/"><${Brand} />Linkspan</a>
        <${ClusterChoice} />
        <div class="bar-tools">
          <${GlobalSearch} />
          <${ThemeButton} />
          <button type="button" onClick=${() => (helpOpen.value = true)} aria-label="List of keys" class="square">
            <kbd>?</kbd>
          </button>
        </div>
      </header>
      <nav class="names" aria-label="Pages"><ul>${Object.keys(PAGES).map(pageLink)}</ul></nav>
      <main class="page" id="page" tabindex="-1"><${ContextNotices} />${children}</main>
    </div>
    <${KeysDialog} />
    <${LiveRegion} />`;
}

function pageLink(name: string) {
  const page = name as PageName;
  const failing = page === 'now' ? Object.keys(tables.cards.value).length : 0;
  return html`<li key=${page}>
    <a href=${hrefOfPage(page)} aria-current=${place.value.page === page ? 'page' : undefined}>
      <${PageIcon} page=${page} />${PAGES[page]}
      ${failing === 0 ? '' : html`<span class="count">${failing}<span class="hidden-text"> failing</span></span>`}
    </a>
  </li>`;
}

/** Which clusters are shown: all, or one; each with how it is known. */
function ClusterChoice() {
  const all = contexts.value;
  if (all.length === 0) return '';
  const only = chosen('cluster');
  return html`<div class="clusters" role="group" aria-label="Clusters">
    ${all.length < 2 ? '' : choice({ context: '', name: 'All', only })}
    ${all.map((row) => choice({ context: row.context, name: row.cluster, said: installationTone(stateOf(row), row.controller), only }))}
  </div>`;
}

interface Choice {
  readonly context: string;
  readonly name: string;
  readonly said?: Said;
  /** The one that is chosen; empty: all. */
  readonly only: string;
}

function choice({ context, name, said, only }: Choice) {
  return html`<button
    type="button"
    key=${context}
    class="chip"
    aria-pressed=${only === context ? 'true' : 'false'}
    onClick=${() => choose('cluster', context, true)}
  >
    ${said === undefined ? '' : html`<${Mark} tone=${said.tone} />`}<bdi>${name}</bdi>
    ${said === undefined ? '' : html`<span class="hidden-text">, ${said.word}</span>`}
  </button>`;
}

const SUNS: Readonly<Record<string, string>> = {
  system: 'M2 3h12v8H2zM6 13.5h4',
  light:
    'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.500M8 13.500V15M1 8h1.500M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1',
  dark: 'M13.5 9.500A6 6 0 0 1 6.5 2.500a6 6 0 1 0 7 7z',
};

function ThemeButton() {
  const { value } = theme;
  return html`<button type="button" class="square" onClick=${nextTheme} aria-label=${`Theme: ${value}`} title=${`Theme: ${value}`}>
    <svg class="line-icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${SUNS[value]} /></svg>
  </button>`;
}

interface ShowChoiceProps {
  readonly first: string;
  readonly other: string;
  /** Of `show` in the address, for the other one. */
  readonly value: string;
}

/** Which of two things a page shows. */
export function ShowChoice({ first, other, value }: ShowChoiceProps) {
  const isOther = chosen('show') === value;
  return html`<div class="choices" role="group" aria-label="What is shown">
    ${showButton('', first, !isOther)}${showButton(value, other, isOther)}
  </div>`;
}

function showButton(value: string, label: string, isChosen: boolean) {
  return html`<button type="button" aria-pressed=${isChosen ? 'true' : 'false'} onClick=${() => choose('show', value, true)}>
    ${label}
  </button>`;
}

/** Whether a row is of the clusters that are shown. */
export function isShown({ context }: { readonly context: string }): boolean {
  const only = chosen('cluster');
  return only === '' || only === context;
}

/** What somebody typed to see fewer rows. */
export function FilterBox({ label, failing = true }: { readonly label: string; readonly failing?: boolean }) {
  const onInput = ({ currentTarget }: Event) => {
    if (currentTarget instanceof HTMLInputElement) choose('q', currentTarget.value);
  };
  const onCheck = ({ currentTarget }: Event) => {
    if (currentTarget instanceof HTMLInputElement)
      choose('failing', currentTarget.checked ? 'yes' : '', true);
  };
  return html`<div class="filters">
    <input type="search" placeholder=${label} aria-label=${label} value=${chosen('q')} onInput=${onInput} />
    ${
      failing
        ? html`<label class=${classes('check')}>
            <input type="checkbox" checked=${chosen('failing') !== ''} onChange=${onCheck} />Failing only
          </label>`
        : ''
    }
  </div>`;
}

/** Whether a row is wanted by what somebody typed and chose in `FilterBox`. @param words of the row */
export function isWanted({ failing }: { readonly failing: boolean }, ...words: readonly string[]): boolean {
  return (failing || !onlyFailing()) && hasText(chosen('q'), ...words);
}

/** Whether only failing rows are wanted. */
export function onlyFailing(): boolean {
  return chosen('failing') !== '';
}
