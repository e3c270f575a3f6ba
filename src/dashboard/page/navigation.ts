import { signal } from '@preact/signals';
import { changedQuery, pageHref, type PageName, placeOf, titleOf } from './page-routes.ts';

/** Where somebody is: as the address of the window says. */
export const place = signal(placeOf(window.location));

/** Goes to an address of ours. */
export function goTo(href: string): void {
  window.history.pushState(null, '', href);
  arrive();
  window.scrollTo(0, 0);
  // Readers of screens hear where they are now, and the next Tab begins there.
  requestAnimationFrame(() => document.querySelector('h1')?.focus({ preventScroll: true }));
}

/**
 * Changes one word of the query; empty: takes it out.
 * @param keep whether "back" undoes it; else it takes the place of what was there, as while somebody types
 */
export function choose(key: string, value: string, keep = false): void {
  const { pathname } = window.location;
  const href = pathname + changedQuery(place.value.query, key, value);
  if (keep) window.history.pushState(null, '', href);
  else window.history.replaceState(null, '', href);
  arrive();
}

/** One word of the query. */
export function chosen(key: string): string {
  return place.value.query.get(key) ?? '';
}

/** The address of a page, with what holds for all of them: which cluster, which time. */
export function hrefOfPage(page: PageName): string {
  return pageHref(page, [], { cluster: chosen('cluster'), range: chosen('range') });
}

function arrive(): void {
  place.value = placeOf(window.location);
  document.title = titleOf(place.value);
}

/** Takes over links to pages, and the buttons "back" and "forward". */
export function followLinks(): void {
  document.title = titleOf(place.value);
  window.addEventListener('popstate', arrive);
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || event.defaultPrevented || event.button !== 0 || isMeantElsewhere(event)) return;
    const href = link.getAttribute('href') ?? '';
    if (!href.startsWith('/') || href.startsWith('/api/')) return;
    event.preventDefault();
    goTo(href);
  });
}

/** With a key held down a link opens somewhere else. */
function isMeantElsewhere({ metaKey, ctrlKey, shiftKey, altKey }: MouseEvent): boolean {
  return metaKey || ctrlKey || shiftKey || altKey;
}
