import { computed, signal } from '@preact/signals';
import { fullName } from './format.ts';
import { html } from './markup.ts';
import { goTo } from './navigation.ts';
import { pageHref } from './page-routes.ts';
import { clusterOf, tables } from './page-store.ts';
import { bestFinds, type Findable } from './search-match.ts';

const text = signal('');
const isOpen = signal(false);
const active = signal(0);

/** Everything that has a page, or a row that can be shown. */
const findable = computed((): Findable[] => {
  if (!isOpen.value) return [];
  const links = Object.values(tables.links.value).map(({ context, name }) => ({
    kind: 'link',
    name,
    detail: `from ${clusterOf(context)}`,
    href: pageHref('links', [context, name]),
  }));
  const services = [...Object.values(tables.services.value), ...Object.values(tables.mirrors.value)];
  const named = new Map(services.map((row) => [fullName(row), row]));
  const found = [...named].map(([name, { namespace, name: own, kind }]) => ({
    kind: kind === 'mirror' ? 'mirror' : 'service',
    name,
    detail: '',
    href: pageHref('services', [namespace || '-', own]),
  }));
  const clients = Object.values(tables.clients.value).map((row) => ({
    kind: 'client',
    name: fullName(row),
    detail: row.cluster,
    href: pageHref('clients', [], { q: row.name }),
  }));
  const processes = Object.values(tables.processes.value).map(({ name, cluster }) => ({
    kind: 'process',
    name,
    detail: cluster,
    href: pageHref('processes', [], { q: name }),
  }));
  return [...links, ...found, ...clients, ...processes];
});

const finds = computed(() => bestFinds(findable.value, text.value));

function close(): void {
  isOpen.value = false;
  text.value = '';
  active.value = 0;
}

function open(find: Findable): void {
  close();
  document.querySelector<HTMLElement>('#search')?.blur();
  goTo(find.href);
}

function onKey(event: KeyboardEvent): void {
  const all = finds.value;
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (move !== undefined && all.length > 0) {
    event.preventDefault();
    active.value = (active.value + move + all.length) % all.length;
  }
  const find = all[active.value];
  if (event.key === 'Enter' && find !== undefined) open(find);
  if (event.key === 'Escape') {
    close();
    if (event.currentTarget instanceof HTMLElement) event.currentTarget.blur();
  }
}

/** Finds links, services, mirrors, clients and processes by their names, wherever one is. */
export function GlobalSearch() {
  const all = finds.value;
  const isShown = isOpen.value && text.value !== '';
  const onInput = ({ currentTarget }: Event) => {
    if (currentTarget instanceof HTMLInputElement) text.value = currentTarget.value;
    active.value = 0;
  };
  return html`<div class="search" role="search">
    <input
      id="search"
      type="text"
      role="combobox"
      autocomplete="off"
      spellcheck="false"
      placeholder="Search everything"
      aria-label="Search everything"
      aria-expanded=${isShown && all.length > 0 ? 'true' : 'false'}
      aria-controls="search-finds"
      aria-autocomplete="list"
      aria-activedescendant=${isShown && all.length > 0 ? `find-${active.value}` : undefined}
      value=${text.value}
      onInput=${onInput}
      onFocus=${() => {
        isOpen.value = true;
      }}
      onBlur=${() => setTimeout(close, 150)}
      onKeyDown=${onKey}
    />
    <kbd aria-hidden="true">/</kbd>
    <ul id="search-finds" role="listbox" aria-label="Found" class="finds" hidden=${!isShown || all.length === 0}>
      ${all.map(
        (find, at) => html`<li
          key=${find.href + find.kind}
          id=${`find-${at}`}
          role="option"
          aria-selected=${at === active.value ? 'true' : 'false'}
          onMouseDown=${() => open(find)}
        >
          <span class="kind">${find.kind}</span><bdi>${find.name}</bdi><span class="detail">${find.detail}</span>
        </li>`,
      )}
    </ul>
    ${isShown && all.length === 0 ? html`<p class="finds" role="status">Nothing has that in its name.</p>` : ''}
  </div>`;
}
